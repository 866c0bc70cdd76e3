"""The trainer of the `regnet` recipe: one trial of a search is one training of the recipe, on one worker."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from orchestrator.base.errors import Conflict, Fenced, ShardCorrupt, UsageError
from orchestrator.blueprint.regnet import RegNetParameters
from orchestrator.recipes.failure import describe, failure_class
from orchestrator.recipes.images import ImageSplits
from orchestrator.recipes.measured import features_document
from orchestrator.recipes.metrics import EpochMetrics
from orchestrator.recipes.skipped import SkippedRows
from orchestrator.recipes.training import evaluate_checkpoint, run_training
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.runtime.durable import DurableEvents
from orchestrator.search.population import optim_of_trial, parameters_of_trial, trial_checkpoints
from orchestrator.search.records import TrialRecord
from orchestrator.search.trial import End, Surroundings, TrialEnd, TrialTask, record_of
from orchestrator.spec.load import thaw_workload
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.training.config import EngineContext, EpochReport
from orchestrator.training.step import NonFiniteLoss


def train_regnet(task: TrialTask, surroundings: Surroundings) -> TrialEnd:
    """Train one trial from its newest checkpoint, to its last epoch, the one where it pauses, or a stop request."""
    job = JobDirectory(Path(task.job))
    record = record_of(task)
    workload = trial_workload(job, record)
    parameters = parameters_of_trial(record, workload.model)
    speed = _Speed(task, workload, parameters)
    last = min(task.until or workload.train.epochs, workload.train.epochs)
    reports = _Reports(surroundings, last, workload.train.checkpoint.every_epochs, speed.tell)
    try:
        outcome = run_training(
            workload,
            parameters,
            EngineContext(
                stop=surroundings.stop,
                report=reports.epoch,
                progress=lambda progress: surroundings.progress(progress.samples),
                checkpointed=reports.checkpointed,
                tell=reports.tell,
            ),
            job=job,
            token=task.token,
            checkpoints=trial_checkpoints(workload, job, task.index),
            pause_after=last,
            skipped=_Skips(task),
            opened=speed.opened,
        )
    except Fenced:
        raise
    except (NonFiniteLoss, UsageError, Conflict, ShardCorrupt) as error:
        if isinstance(error, ShardCorrupt) and not error.lasting:
            raise
        # The same again, however often it is tried.
        return TrialEnd("failed", reports.last, describe(error), failure_class(error))
    end: End = "finished" if outcome.result.state == "finished" else "stopped"
    if end == "stopped" and outcome.metrics is not None and outcome.metrics.epoch == last:
        end = "paused"
    return TrialEnd(end, outcome.metrics.values() if outcome.metrics else {})


def evaluate_test(task: TrialTask, surroundings: Surroundings) -> TrialEnd:
    """Means of `loss` and `error` on the test split, of a finished trial's checkpoint; `skipped` samples, if any."""
    job = JobDirectory(Path(task.job))
    record = record_of(task)
    workload = trial_workload(job, record)
    parameters = parameters_of_trial(record, workload.model)
    found = evaluate_checkpoint(
        workload,
        parameters,
        trial_checkpoints(workload, job, record.index),
        record.samples,
        "test",
        skipped=_Skips(task),
    )
    return TrialEnd("finished", found.means | ({"skipped": found.skipped} if found.skipped else {}))


def trial_workload(job: JobDirectory, record: TrialRecord) -> RegNetWorkload:
    """The search's workload as one trial sees it: its own seed and numbers, the cores of a trial, and no search."""
    workload = thaw_workload(job.spec.read_text(encoding="utf-8"))
    if not isinstance(workload, RegNetWorkload):
        raise UsageError(f"{job.spec} is not a regnet workload", hint="only recipes can be searched")
    resources = workload.resources.model_copy(update={"cpus_per_worker": workload.trial_share.cpus})
    optim = optim_of_trial(record, workload.optim)
    return workload.model_copy(update={"seed": record.seed, "search": None, "resources": resources, "optim": optim})


@dataclass(frozen=True)
class _Skips:
    """Tells the run of corrupt records that a trial left out, by events of its own."""

    task: TrialTask

    def __call__(self, found: SkippedRows) -> None:
        run = RunDirectory(Path(self.task.run))
        events = DurableEvents(run, f"trial-{self.task.index}", self.task.token)
        events.note("data_skipped", trial=self.task.index, **asdict(found))
        sys.stdout.write(f"trial {self.task.index}: {found}\n")


@dataclass
class _Speed:
    """Tells the run how fast a trial was, by events of its own."""

    task: TrialTask
    workload: RegNetWorkload
    parameters: RegNetParameters
    features: Mapping[str, object] = field(default_factory=dict)

    def opened(self, images: ImageSplits) -> None:
        """The data is known, and with it what the model computes."""
        self.features = features_document(self.workload, self.parameters, images.description)

    def tell(self, measured: Mapping[str, object]) -> None:
        """The process has had other trials before: what it holds at most says nothing of this one."""
        about = {name: value for name, value in measured.items() if name != "memory"}
        events = DurableEvents(RunDirectory(Path(self.task.run)), f"trial-{self.task.index}", self.task.token)
        events.mention("measured", **about, trial=self.task.index, features=self.features)


@dataclass(frozen=True)
class _Held:
    """A report that waits.

    Attributes:
        samples: where its epoch ended.
        metrics: what is reported.
        kept: whether a checkpoint is made there.
    """

    samples: int
    metrics: Mapping[str, float]
    kept: bool


@dataclass
class _Reports:
    """Holds epochs' reports back until their checkpoints are on the disk: a scheduler may end the trial right there.

    Checkpoints are written while the training goes on, so several reports can wait. All of them are made, in order:
    what a scheduler decides must not depend on how fast the disk is. One whose checkpoint was not written is made too.
    """

    surroundings: Surroundings
    epochs: int
    every: int
    measured: Callable[[Mapping[str, object]], None] = lambda measured: None
    last: Mapping[str, float] = field(default_factory=dict)
    _held: deque[_Held] = field(default_factory=deque)
    _settled: int = -1

    def epoch(self, report: EpochReport) -> bool:
        """At the end of each epoch; the last one's metrics are the training's result, not a report."""
        metrics = EpochMetrics.of(report)
        self.last = metrics.values()
        if metrics.epoch < self.epochs:
            self._held.append(_Held(report.samples, self.last, kept=metrics.epoch % self.every == 0))
            self._release()
        return True

    def checkpointed(self, path: Path | str, samples: int, asked: int) -> None:
        """A checkpoint is on the disk."""
        self._settle(samples)

    def tell(self, kind: str, /, **data: object) -> None:
        """What operators count: among it, that a checkpoint could not be written."""
        samples = data.get("samples")
        if kind == "measured":
            self.measured(data)
        elif kind == "checkpoint_failed" and isinstance(samples, int):
            self._settle(samples)

    def _settle(self, samples: int) -> None:
        self._settled = max(self._settled, samples)
        self._release()

    def _release(self) -> None:
        while self._held and not (self._held[0].kept and self._held[0].samples > self._settled):
            self.surroundings.report(self._held.popleft().metrics)
