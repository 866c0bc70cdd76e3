"""The trainer of the `regnet` recipe: one trial of a search is one training of the recipe, on one worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.base.errors import UsageError
from orchestrator.recipes.failure import describe
from orchestrator.recipes.regnet import EpochMetrics, evaluate_checkpoint, run_training
from orchestrator.rundir.layout import JobDirectory
from orchestrator.search.population import parameters_of_trial
from orchestrator.search.records import TrialRecord, TrialRecords, checkpoint_folder
from orchestrator.search.trial import Surroundings, TrialEnd, TrialTask
from orchestrator.spec.load import thaw_workload
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.training.step import NonFiniteLoss


def train_regnet(task: TrialTask, surroundings: Surroundings) -> TrialEnd:
    """Train one trial from its newest checkpoint, to its last epoch or a stop request."""
    job = JobDirectory(Path(task.job))
    record = TrialRecords(job, task.token).load_one(task.index)
    workload = trial_workload(job, record)
    reports = _Reports(surroundings, workload.train.epochs, workload.train.checkpoint.every_epochs)
    try:
        outcome = run_training(
            workload,
            parameters_of_trial(record, workload.model),
            checkpoints=checkpoint_folder(job, task.index),
            job=job,
            token=task.token,
            stop=surroundings.stop,
            report=reports.epoch,
            progress=lambda progress: surroundings.progress(progress.samples),
            checkpointed=reports.checkpointed,
        )
    except (NonFiniteLoss, UsageError) as error:  # the same again, however often it is tried
        return TrialEnd("failed", reports.last, describe(error))
    return TrialEnd(outcome.state, outcome.metrics.values() if outcome.metrics else {})


def evaluate_test(job: JobDirectory, record: TrialRecord) -> dict[str, float]:
    """Means of `loss` and `error` on the test split, of a finished trial's checkpoint."""
    workload = trial_workload(job, record)
    parameters = parameters_of_trial(record, workload.model)
    return evaluate_checkpoint(workload, parameters, checkpoint_folder(job, record.index), record.samples, "test")


def trial_workload(job: JobDirectory, record: TrialRecord) -> RegNetWorkload:
    """The search's workload as one trial sees it: its own seed, and no search."""
    workload = thaw_workload(job.spec.read_text(encoding="utf-8"))
    if not isinstance(workload, RegNetWorkload):
        raise UsageError(f"{job.spec} is not a regnet workload", hint="only recipes can be searched")
    return workload.model_copy(update={"seed": record.seed, "search": None})


@dataclass
class _Reports:
    """Holds an epoch's report back until its checkpoint is on the disk: a scheduler may end the trial right there."""

    surroundings: Surroundings
    epochs: int
    every: int
    last: Mapping[str, float] = field(default_factory=dict)
    _held: Mapping[str, float] | None = None

    def epoch(self, metrics: EpochMetrics) -> bool:
        """At the end of each epoch; the last one's metrics are the training's result, not a report."""
        self.last = metrics.values()
        if metrics.epoch < self.epochs:
            self._held = self.last
            if metrics.epoch % self.every:
                self._release()
        return True

    def checkpointed(self, path: Path, samples: int) -> None:
        """A checkpoint is on the disk."""
        self._release()

    def _release(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self.surroundings.report(held)
