"""The training loop: epochs of steps, evaluation, reports, checkpoints, resume in the middle, and a clean stop."""

from __future__ import annotations

from dataclasses import replace

import torch

from orchestrator.base.errors import UsageError
from orchestrator.training.checkpoint import Checkpoint
from orchestrator.training.config import EngineContext, EpochReport, TrainConfig, TrainResult
from orchestrator.training.determinism import fingerprint
from orchestrator.training.evaluation import Evaluation, evaluate, evaluation_requests, refuse_all_corrupt
from orchestrator.training.optim import SGD
from orchestrator.training.progress import ProgressMeter
from orchestrator.training.seeding import seed_initialisation
from orchestrator.training.state import Position, TrainingState, describe, identity_of, pack, read_back, unpack
from orchestrator.training.step import Stepper, StepPlace
from orchestrator.training.task import BatchT, Task


def train(task: Task[BatchT], config: TrainConfig, context: EngineContext) -> TrainResult:
    """Train until the last epoch, a stop request, or a report that answers False.

    Every worker of the group calls this with equal arguments; the result is the same for any number of them. It goes on
    from the newest whole checkpoint where there is one.

    Raises:
        NonFiniteLoss: on every worker.
        Conflict: the checkpoint belongs to another training.
        DataError: every sample of an epoch, or of an evaluation, is corrupt.
        Fenced: a newer run owns the checkpoints.
        UsageError: the workload cannot work.
    """
    return _Training(task, config, context).run()


class _Training:
    """One call of `train`."""

    def __init__(self, task: Task[BatchT], config: TrainConfig, context: EngineContext) -> None:
        self._task, self._config, self._context = task, config, context
        self._samples = task.samples("train")
        if not self._samples:
            raise UsageError("the training split has no samples", hint="see: orchestrator data info")
        seed_initialisation(config.seed)
        # NHWC is what oneDNN's and cuDNN's convolutions are fastest in, grouped ones above all.
        self._model = task.build_model().to(memory_format=torch.channels_last).to(context.group.device)
        self._optimizer = SGD(self._model, config.sgd)
        self._stepper = Stepper(
            task, self._model, self._optimizer, config.plan, context.group, seed=config.seed, exact=config.exact
        )
        if self._stepper.statistics and config.plan.slice_samples < 2:
            raise UsageError(
                "batch norm needs at least 2 samples in a virtual worker",
                hint="raise train.samples_per_virtual_worker or train.batch_size",
            )
        self._batches = config.batches(self._samples)
        self._identity = identity_of(config, task.identity, self._samples)
        self._fingerprint = fingerprint(context.group.device)
        self._state = self._resume()
        self._meter = ProgressMeter(self._batches.samples * config.epochs, context.progress)

    def run(self) -> TrainResult:
        """Train."""
        self._model.train()
        self._note(self._batches.note)
        self._say_progress(force=True)
        while self._position.epoch < self._config.epochs:
            if not self._epoch() or not self._end_epoch():
                self._checkpoint()
                return self._result("stopped")
        return self._result("finished")

    @property
    def _position(self) -> Position:
        return self._state.position

    def _epoch(self) -> bool:
        """The steps of the current epoch that are left; False where a stop was asked for."""
        for step in range(self._position.step, self._batches.steps):
            position = self._position
            coming = range(step, min(step + self._task.look_ahead, self._batches.steps))
            place, *ahead = map(self._place, coming)
            rate = self._config.schedule.at(position.samples)
            stop, then = self._context.stop(), self._announce_evaluation
            result = self._stepper.step(place, rate=rate, stop=stop, ahead=ahead, then=then)
            self._move(position.after_step(place.samples, result.samples, result.loss))
            self._say_progress()
            if result.stop:
                return False
        return True

    def _announce_evaluation(self, loads: int) -> None:
        """What follows the last step of an epoch, so that loader processes go on meanwhile."""
        if self._evaluates:
            requests = evaluation_requests(self._task.samples("validation"), self._context.group)[:loads]
            if requests:  # else there may be no such split
                self._task.expect("validation", requests)

    def _announce_next_epoch(self, loads: int) -> None:
        """What follows an evaluation."""
        epoch, batches = self._position.epoch + 1, self._batches
        if epoch < self._config.epochs:
            steps = range(min(loads, batches.steps))
            places = [StepPlace(0, epoch, batches.start(step), batches.size(step)) for step in steps]
            requests = [request for place in places for request in self._stepper.requests(place)]
            self._task.expect("train", requests[:loads])

    def _place(self, step: int) -> StepPlace:
        """A step of the current epoch, of which `step` is the number there."""
        number = self._position.steps + step - self._position.step
        return StepPlace(number, self._position.epoch, self._batches.start(step), self._batches.size(step))

    def _end_epoch(self) -> bool:
        """Evaluate, report and checkpoint; False where the training is to end here."""
        self._refuse_an_empty_epoch()
        found = self._validate()
        if found is None:
            return False
        position = self._position
        report = EpochReport(
            epoch=position.epoch + 1,
            samples=position.samples,
            train_loss=position.loss / position.counted,
            rate=self._config.schedule.at(position.samples - self._batches.size(self._batches.steps - 1)),
            samples_per_second=self._meter.rate(position.samples),
            validation=found.means,
            skipped=position.skipped,
            validation_skipped=found.skipped,
        )
        self._say_skipped(report, self._batches.samples - position.counted)
        self._state = replace(self._state, position=position.next_epoch(), history=(*self._state.history, report))
        goes_on = not self._context.group.any(not self._context.report(report))
        last = report.epoch == self._config.epochs
        self._say_progress(force=last)
        if last or (goes_on and report.epoch % self._config.checkpoint_every == 0):
            self._checkpoint()
        return goes_on or last

    def _refuse_an_empty_epoch(self) -> None:
        what = f"epoch {self._position.epoch + 1} of the training split"
        refuse_all_corrupt(what, positions=self._batches.samples, counted=self._position.counted)

    def _say_skipped(self, report: EpochReport, skipped: int) -> None:
        """Nobody shall take a shorter epoch for a whole one."""
        if skipped:
            self._note(f"epoch {report.epoch}: {skipped} of {self._batches.samples} samples were corrupt and left out")
        if report.validation_skipped:
            self._note(
                f"epoch {report.epoch}: {report.validation_skipped} validation samples were corrupt and left out"
            )

    def _validate(self) -> Evaluation | None:
        """Measures on the validation split, where they are due; None where a stop was asked for meanwhile."""
        if not self._evaluates:
            return Evaluation({}, 0, 0)
        return evaluate(
            self._task,
            self._model,
            "validation",
            self._context.group,
            stop=self._between_chunks,
            then=self._announce_next_epoch,
        )

    @property
    def _evaluates(self) -> bool:
        """Whether the current epoch ends with an evaluation."""
        number = self._position.epoch + 1
        return number == self._config.epochs or not number % self._config.evaluate_every

    def _between_chunks(self) -> bool:
        """An evaluation can be long: progress is said meanwhile too."""
        self._say_progress()
        return self._context.stop()

    def _checkpoint(self) -> None:
        """Worker 0 writes; the others wait, so that none is ahead of what is on the disk."""
        store, group = self._context.checkpoints, self._context.group
        if store is None:
            return
        if group.rank == 0:
            meta = describe(self._state, self._identity, self._fingerprint)
            path = store.save(self._position.samples, pack(self._model, self._optimizer), meta)
            self._context.checkpointed(path, self._position.samples)
        group.agree(0)

    def _resume(self) -> TrainingState:
        """The state of the newest whole checkpoint, which worker 0 chooses; a fresh one where there is none."""
        store, group = self._context.checkpoints, self._context.group
        if store is None:
            return TrainingState()
        chosen: Checkpoint | None = store.newest(self._context.note) if group.rank == 0 else None
        samples = group.agree(-1 if chosen is None else chosen.samples)
        if samples < 0:
            return TrainingState()
        if chosen is None:
            chosen = store.read(samples)
        state = read_back(chosen.meta, self._identity, self._fingerprint)
        unpack(chosen.tensors, self._model, self._optimizer)
        self._note(f"resumed from {chosen.path}, after {samples} samples")
        return state

    def _note(self, text: str) -> None:
        """Worker 0 speaks for all."""
        if text and self._context.group.rank == 0:
            self._context.note(text)

    def _move(self, position: Position) -> None:
        self._state = replace(self._state, position=position)

    def _say_progress(self, *, force: bool = False) -> None:
        if self._context.group.rank == 0:
            self._meter.update(self._position.samples, self._position.epoch, force=force)

    def _result(self, state: str) -> TrainResult:
        return TrainResult(
            "finished" if state == "finished" else "stopped",
            self._model,
            self._position.samples,
            self._position.skipped,
            self._state.history,
            self._state.exact_until,
            self._fingerprint,
            self._batches.note,
        )
