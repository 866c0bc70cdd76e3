"""What workers say while they train: events for the controller, metrics for the tracker, lines for their logs."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

from orchestrator.base.text import measured
from orchestrator.recipes.metrics import EpochMetrics
from orchestrator.recipes.skipped import SkippedRows
from orchestrator.rundir.events import EventWriter
from orchestrator.tracking.protocol import Tracker
from orchestrator.training.progress import Progress


class Telling:
    """The callbacks of one training.

    Args:
        events: of this rank.
        tracker: where metrics go.
        key: of the tracked run.
        epochs: of the whole training.
    """

    def __init__(self, events: EventWriter, tracker: Tracker, key: str, epochs: int) -> None:
        self._events, self._tracker, self._key, self._epochs = events, tracker, key, epochs
        self._best: float | None = None

    def progress(self, progress: Progress) -> None:
        """About once a second."""
        best = {} if self._best is None else {"best": self._best, "best_label": "val error"}
        self._events.append(
            "progress",
            done=progress.samples,
            total=progress.total,
            unit="samples",
            samples=progress.samples,
            samples_per_second=progress.samples_per_second,
            eta_seconds=progress.eta_seconds,
            message=f"epoch {min(progress.epoch + 1, self._epochs)} of {self._epochs}",
            **best,
        )

    def epoch(self, metrics: EpochMetrics) -> bool:
        """At the end of every epoch; the training goes on."""
        if metrics.val_error is not None:
            self._best = metrics.val_error if self._best is None else min(self._best, metrics.val_error)
        self._tracker.metrics(self._key, metrics.samples, metrics.values())
        known = [f"{name} {measured(value)}" for name, value in metrics.values().items() if name != "epoch"]
        self.note(f"epoch {metrics.epoch} of {self._epochs}: " + ", ".join(known))
        return True

    def checkpointed(self, path: Path, samples: int) -> None:
        """A checkpoint is on the disk."""
        self._events.append("checkpoint", path=str(path), samples=samples)

    def skipped(self, found: SkippedRows) -> None:
        """This worker found corrupt records and left them out."""
        self._events.append("data_skipped", **asdict(found))
        self.note(str(found))

    def note(self, text: str) -> None:
        """Something for the log."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
