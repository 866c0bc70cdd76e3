"""The units of a training in one view: a step, a round of an evaluation, the end of an epoch; what comes next."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from orchestrator.base.errors import UsageError
from orchestrator.training.announcing import Announcing
from orchestrator.training.auditing import Auditor
from orchestrator.training.batching import Batching
from orchestrator.training.compilation import compiled_calls
from orchestrator.training.config import EngineContext, EpochReport, TrainConfig
from orchestrator.training.evaluation import Evaluation, Evaluator, Partial, refuse_all_corrupt
from orchestrator.training.group import Group
from orchestrator.training.holding import Holding
from orchestrator.training.keeping import Keeping
from orchestrator.training.speaking import Speaking
from orchestrator.training.step import NonFiniteLoss, Stepper, StepPlace, StepResult
from orchestrator.training.table import Flags
from orchestrator.training.task import Batch, BatchT, Split, Task

MOST_ROLLBACKS = 10
"""A training that goes back more often does not learn."""

MOST_SKIPPED_IN_A_ROW = 20
"""A training that leaves out so many steps, one after the other, has parameters that no step can come from."""


class GoBack(Exception):
    """A step's loss or gradient is not finite: go back to the newest checkpoint, and leave the step out.

    Args:
        step: its number since the start.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"step {step} is not finite")
        self.step = step


class Units:
    """One worker's end of them, as long as the group stays the same.

    Args:
        task: the recipe.
        config: of the training.
        context: of this worker.
        batching: the steps.
        holding: the state, which the units change.
        keeping: the checkpoints.
        speaking: what is said.
        group: the workers.
    """

    def __init__(
        self,
        task: Task[BatchT],
        config: TrainConfig,
        context: EngineContext,
        batching: Batching,
        holding: Holding,
        keeping: Keeping,
        speaking: Speaking,
        group: Group,
    ) -> None:
        self._task, self._config, self._context, self._batching = task, config, context, batching
        self._holding, self._keeping, self._speaking, self._group = holding, keeping, speaking, group
        layout = holding.layout
        self._stepper = Stepper(task, layout, config, group, device=group.device, state=holding.state.step)
        self._evaluator = Evaluator(task, self._measure, group, seed=config.seed, ghosts=layout.runs_ghosts)
        self._announcing = Announcing(task, config, batching, self._stepper, self._evaluator)
        self._auditor = None if context.audit is None else Auditor(context.audit, holding)
        self._refuse_tiny_slices()

    def next(self) -> Flags | None:
        """Do what comes next; the largest flags of all workers, or None where nothing is left to do.

        Raises:
            GroupBroken: a worker is gone.
            GoBack: on every worker: to the newest checkpoint.
            NonFiniteLoss, DataError, UsageError: on every worker.
        """
        position = self._holding.state.position
        if position.steps >= (self._config.max_steps or math.inf):
            return None
        if position.epoch < self._config.epochs:
            if position.epoch >= (self._config.pause_after or math.inf):
                return Flags(stop=True)
            if position.step < self._batching.steps(position.epoch):
                return self._step()
            partial = self._holding.state.measuring or Partial("validation")
            if self._announcing.evaluates(position.epoch) and not self._evaluator.complete(partial):
                return self._round(partial)
            return self._end_epoch(partial)
        for split in self._config.final_splits:
            if split not in self._holding.state.final:
                return self._final(split)
        return None

    def _flags(self) -> Flags:
        asked = 2 * self._context.checkpoint_now() + (self._speaking.leads and self._keeping.is_due())
        return Flags(self._context.stop(), self._context.membership.newest_epoch(), asked)

    def _step(self) -> Flags:
        position = self._holding.state.position
        place, *ahead = self._announcing.places(position)
        self._speaking.works(position.steps)
        sent = self._group.traffic.sent
        flags = self._flags()
        if place.number in self._holding.state.left_out:
            flags = self._gathered(flags)
            self._holding.leave_out(place.batch, None)
            self._audit(place, "")
        else:
            result = self._stepper.step(
                place, flags=flags, ahead=ahead, then=lambda room: self._announcing.after_epoch(position, room)
            )
            flags = result.flags
            self._take_note(result)
            self._commit(place, result)
            self._speaking.exchanged(self._group.traffic.sent - sent, workers=self._group.size)
        self._speaking.measuring.stepped(place.batch.samples)
        self._speaking.worked(self._holding.state.position)
        self._speaking.progress(self._holding.state.position)
        return flags

    def _commit(self, place: StepPlace, result: StepResult) -> None:
        if result.finite and not result.overflow:
            gradient = "" if self._auditor is None else self._auditor.gradient(self._group)
            self._holding.commit(place.batch, result, self._stepper.statistics)
            self._audit(place, gradient)
            return
        if not result.finite:
            self._refuse_not_finite(place, result)
        self._holding.leave_out(place.batch, result)
        self._audit(place, "")
        reason = "overflow" if result.finite else "not finite"
        self._speaking.tell("step_skipped", step=place.number, epoch=place.epoch + 1, reason=reason, loss=result.loss)

    def _refuse_not_finite(self, place: StepPlace, result: StepResult) -> None:
        policy, rolled_back = self._config.non_finite, len(self._holding.state.left_out)
        in_a_row = self._holding.state.skipped_in_a_row + 1
        what = f"the training loss is {result.loss}"
        if math.isfinite(result.loss):
            what = "the training loss is finite and its gradient is not,"
        too_often = rolled_back >= MOST_ROLLBACKS if policy == "rollback" else in_a_row >= MOST_SKIPPED_IN_A_ROW
        if policy == "fail" or too_often:
            raise NonFiniteLoss(
                f"{what} in epoch {place.epoch + 1}, step {place.number}"
                + (f", after {rolled_back} rollbacks" if rolled_back else "")
                + (f", the last of {in_a_row} such steps in a row" if in_a_row > 1 else ""),
                hint="a lower optim.lr or a longer optim.warmup_iterations usually cures it",
            )
        self._speaking.note(f"{what} in epoch {place.epoch + 1}, step {place.number}: the step is left out")
        if policy == "rollback":
            raise GoBack(place.number)

    def _take_note(self, result: StepResult) -> None:
        """Of what a lack of memory led to."""
        state = self._holding.state
        if not result.exact and state.exact_until is None:
            self._holding.change(exact_until=state.position.samples)
        if not result.out_of_memory:
            return
        halved = result.state.parts != state.step.parts
        how = f"slices are run in {result.state.parts} parts" if halved else "activations are computed twice"
        self._speaking.note(f"a worker had too little memory in step {state.position.steps}; from now on {how}")
        self._speaking.tell("out_of_memory", step=state.position.steps, answer=how)

    def _round(self, partial: Partial) -> Flags:
        """A round of an evaluation."""
        position = self._holding.state.position
        self._speaking.works(position.steps)
        flags = self._flags()
        with self._holding.measured():
            partial, flags = self._evaluator.round(
                partial, flags, lambda room: self._announcing.after_evaluation(position, room)
            )
        self._holding.change(measuring=partial)
        self._speaking.measuring.round_ended()
        self._speaking.worked(position)
        self._speaking.progress(position)
        return flags

    def _final(self, split: Split) -> Flags:
        state = self._holding.state
        partial = state.measuring or Partial(split)
        if not self._evaluator.complete(partial):
            return self._round(partial)
        found = self._evaluator.conclude(partial)
        self._speaking.measuring.evaluation_ended(found.samples)
        self._holding.change(final={**state.final, split: found}, measuring=None)
        return Flags()

    def _end_epoch(self, partial: Partial) -> Flags:
        """Report and checkpoint."""
        state = self._holding.state
        position, epoch = state.position, state.position.epoch
        skipped = position.skipped - (state.history[-1].skipped if state.history else 0)
        samples = self._batching.samples(epoch)
        if skipped >= samples:
            refuse_all_corrupt(f"epoch {epoch + 1} of the training split", positions=samples, counted=0)
        found = Evaluation({}, 0, 0)
        if self._announcing.evaluates(epoch):
            found = self._evaluator.conclude(partial)
            self._speaking.measuring.evaluation_ended(found.samples)
        report = self._report(found)
        self._say_skipped(report, skipped, samples)
        goes_on = not self._group.any(not self._speaking.report(report))
        self._holding.change(position=position.next_epoch(), history=(*state.history, report), measuring=None)
        last = report.epoch == self._config.epochs
        self._speaking.progress(self._holding.state.position, force=last)
        if last or (goes_on and self._keeping.is_due_after(report.epoch)):
            self._keeping.begin(self._holding, self._group)
        self._speaking.measuring.epoch_ended()
        self._speaking.measured(force=last)
        return Flags(stop=not (goes_on or last))

    def _report(self, found: Evaluation) -> EpochReport:
        state, position = self._holding.state, self._holding.state.position
        counted = position.counted or math.nan
        return EpochReport(
            epoch=position.epoch + 1,
            samples=position.samples,
            train_loss=position.loss / counted,
            losses={name: value / counted for name, value in position.losses.items()},
            rate=self._config.schedule.at(position.samples) if state.rate is None else state.rate,
            samples_per_second=self._speaking.rate(position),
            validation=found.means,
            skipped=position.skipped,
            validation_skipped=found.skipped,
            skipped_steps=state.skipped_steps,
        )

    def _say_skipped(self, report: EpochReport, skipped: int, samples: int) -> None:
        """Nobody shall take a shorter epoch for a whole one."""
        said = self._speaking.note
        if skipped:
            said(f"epoch {report.epoch}: {skipped} of {samples} samples were corrupt and left out")
        if report.validation_skipped:
            said(f"epoch {report.epoch}: {report.validation_skipped} validation samples were corrupt and left out")

    def _measure(self, batch: Batch) -> torch.Tensor:
        layout = self._holding.layout
        with compiled_calls():
            return layout.call(lambda: self._task.evaluate(layout.model, batch))  # type: ignore[arg-type]

    def _gathered(self, flags: Flags) -> Flags:
        """The largest flags of all, where no table carries them."""
        own = torch.tensor([int(flags.stop), flags.view, flags.checkpoint], device=self._group.device)
        stop, view, checkpoint = self._group.all_gather(own).amax(0).tolist()
        return replace(flags, stop=bool(stop), view=view, checkpoint=checkpoint)

    def _audit(self, place: StepPlace, gradient: str) -> None:
        if self._auditor is not None:
            self._auditor.step(place.epoch, place.batch, gradient, self._group)

    def _refuse_tiny_slices(self) -> None:
        if self._stepper.statistics and self._batching.smallest_slice < 2:
            raise UsageError(
                "batch norm needs at least 2 samples in a virtual worker",
                hint="raise train.samples_per_virtual_worker or train.batch_size",
            )
