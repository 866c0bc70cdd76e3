"""What workers say while they train: events for the controller, metrics for the tracker, lines for their logs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from orchestrator.base.text import measured
from orchestrator.blueprint.workload import parameters_of
from orchestrator.recipes.earlier import SECONDS, Earlier
from orchestrator.recipes.images import ImageSplits
from orchestrator.recipes.measured import features_document
from orchestrator.recipes.metrics import EpochMetrics
from orchestrator.recipes.skipped import SkippedRows
from orchestrator.recipes.speaker import Speaker
from orchestrator.runtime.context import RunContext
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.tracking.describe import job_tags, workload_parameters
from orchestrator.training.config import EpochReport
from orchestrator.training.progress import Progress


class Telling:
    """The callbacks of one worker's training; its tracker is heard only while it leads.

    Args:
        context: the run.
        workload: what is trained.
        speaker: where metrics go.
        earlier: the job's runs before this one.
    """

    def __init__(self, context: RunContext, workload: RegNetWorkload, speaker: Speaker, earlier: Earlier) -> None:
        self._context, self._workload, self._speaker, self._earlier = context, workload, speaker, earlier
        self._key = context.job.path.name
        self._data: Mapping[str, str] = {}
        self._best: float | None = None
        self._spent: dict[str, float] = {}
        self._features: Mapping[str, object] = {}

    def announce(self) -> None:
        """Say what is trained, and on which data once that is known."""
        tags = job_tags(self._context.job, self._workload, kind=self._workload.recipe, **self._data)
        params = workload_parameters(self._workload)
        self._speaker.start_run(self._key, name=self._workload.name, params=params, tags=tags)

    def opened(self, images: ImageSplits) -> None:
        """The data is the job's."""
        self._data = {"dataset": images.description.name, "dataset_version": images.version}
        self._features = features_document(self._workload, parameters_of(self._workload.model), images.description)
        self.announce()

    def leads(self, leads: bool) -> None:
        """A new view: this worker speaks for all, or another one does."""
        new = leads and not self._speaker.speaks
        self._speaker.let(leads)
        if new:
            self.announce()

    def adopted(self, history: Sequence[EpochReport]) -> None:
        """The epochs that others made, or an earlier run."""
        errors = (EpochMetrics.of(report).val_error for report in history)
        self._best = min((error for error in errors if error is not None), default=None)

    def progress(self, progress: Progress) -> None:
        """About once a second."""
        best = {} if self._best is None else {"best": self._best, "best_label": "val error"}
        epochs = self._workload.train.epochs
        self._context.events.mention(
            "progress",
            done=progress.samples,
            total=progress.total,
            unit="samples",
            samples=progress.samples,
            samples_per_second=progress.samples_per_second,
            eta_seconds=progress.eta_seconds,
            message=f"epoch {min(progress.epoch + 1, epochs)} of {epochs}",
            **best,
        )

    def epoch(self, report: EpochReport) -> bool:
        """At the end of every epoch, on every worker; the training goes on."""
        metrics = EpochMetrics.of(report)
        if metrics.val_error is not None:
            self._best = metrics.val_error if self._best is None else min(self._best, metrics.val_error)
        if self._speaker.speaks:
            values = metrics.values()
            self._speaker.metrics(self._key, metrics.samples, values | self._goodput())
            self._speaker.flush()  # whoever leads after this worker does not say it again
            known = [f"{name} {measured(value)}" for name, value in values.items() if name != "epoch"]
            self.note(f"epoch {metrics.epoch} of {self._workload.train.epochs}: " + ", ".join(known))
        return True

    def checkpointed(self, path: Path | str, samples: int, asked: int) -> None:
        """A checkpoint is durable."""
        self._context.events.note("checkpoint", path=str(path), samples=samples, asked=asked)

    def tell(self, kind: str, /, **data: object) -> None:
        """What operators count."""
        if kind == "goodput":
            numbers = {name: value for name, value in data.items() if isinstance(value, int | float)}
            self._spent = {name: float(value) + self._earlier.own.get(name, 0.0) for name, value in numbers.items()}
            self._context.events.mention(
                kind, **data | {name: self._spent[name] for name in SECONDS if name in numbers}
            )
        elif kind == "measured":
            self._context.events.mention(kind, **data, features=self._features)
        else:
            self._context.events.note(kind, **data)

    def skipped(self, found: SkippedRows) -> None:
        """This worker found corrupt records and left them out."""
        self._context.events.note("data_skipped", **asdict(found))
        self.note(str(found))

    def note(self, text: str) -> None:
        """Something for the log; a full disk must not end a training."""
        with suppress(OSError):
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def _goodput(self) -> dict[str, float]:
        """Seconds of all runs of the job, this one included."""
        known = self._earlier.seconds
        return {f"goodput/{n}": known.get(n, 0.0) + self._spent[n] for n in SECONDS if n in self._spent}
