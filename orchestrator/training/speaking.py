"""What a worker says of a training while it leads, and the accounts that every worker keeps, so that it can lead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.training.batching import Batching
from orchestrator.training.config import EngineContext, EpochReport, TrainConfig
from orchestrator.training.goodput import Goodput, Spent
from orchestrator.training.measuring import Measuring
from orchestrator.training.progress import Progress, ProgressMeter
from orchestrator.training.state import Position


class Speaking:
    """Progress, notes, what operators count, and the beat of one worker.

    Args:
        config: of the training.
        context: who is told.
        batching: of the training.
        measuring: of this worker.

    Attributes:
        leads: whether this worker speaks for all.
        measuring: of this worker.
        checkpoints_asked: how many of the checkpoints that were asked for are made.
    """

    def __init__(self, config: TrainConfig, context: EngineContext, batching: Batching, measuring: Measuring) -> None:
        self._context, self.measuring = context, measuring
        self.leads = False
        self.checkpoints_asked = 0
        self._goodput = Goodput()
        self._reached = self._samples = context.reached
        total = sum(batching.samples(epoch) for epoch in range(config.epochs))
        self._meter = ProgressMeter(total, self._progressed)
        self._step, self._busy = 0, False
        self._sent, self._shared_steps = 0, 0
        self._reported: tuple[int, bool, bool] | None = None

    def shared(self) -> dict[str, Any]:
        """What a new worker has to know to lead."""
        return {
            "goodput": self._goodput.document(),
            "reached": self._reached,
            "checkpoints_asked": self.checkpoints_asked,
        }

    def enters(self, *, leads: bool, shared: Mapping[str, Any] | None, workers: int) -> None:
        """A view has begun."""
        self.measuring.enters(workers)
        if shared is not None:
            self._goodput.adopt(shared["goodput"])
            self._reached = self._samples = max(self._reached, int(shared["reached"]))
            self.checkpoints_asked = int(shared["checkpoints_asked"])
        self.leads = leads
        self._context.leads(leads)

    def note(self, text: str) -> None:
        """To people."""
        if text and self.leads:
            self._context.note(text)

    def tell(self, kind: str, /, **data: object) -> None:
        """To operators."""
        if self.leads:
            self._context.tell(kind, **data)

    def report(self, report: EpochReport) -> bool:
        """The end of an epoch, once; but again where this worker has come to lead before all had agreed on it."""
        if self._reported is None or self._reported[:2] != (report.epoch, self.leads):
            self._reported = (report.epoch, self.leads, self._context.report(report))
        return self._reported[2]

    def progress(self, position: Position, *, force: bool = False) -> None:
        """Say how far it is, where it is time or `force` asks for it."""
        self._meter.update(position.samples, position.epoch, force=force)

    def rate(self, position: Position) -> float | None:
        """Samples per second of the last seconds."""
        return self._meter.rate(position.samples)

    def works(self, step: int) -> None:
        """A unit of work begins that has a deadline."""
        self._goodput.spent("idle")
        self._step, self._busy = step, True
        self._context.membership.beat(step, "compute")

    def worked(self, position: Position) -> None:
        """It ended, and led here."""
        measured = position.samples == self._samples  # a round of an evaluation uses no training samples
        new = position.samples > self._reached or (measured and position.samples == self._reached)
        spent: Spent = "useful" if new or not self._busy else "redone"
        self._goodput.spent(spent)
        self._samples, self._reached = position.samples, max(self._reached, position.samples)
        self.idle()

    def exchanged(self, sent: int, *, workers: int) -> None:
        """A step was made, in which this worker sent so many bytes; one that it made alone does not count."""
        if workers > 1:
            self._sent, self._shared_steps = self._sent + sent, self._shared_steps + 1

    def idle(self) -> None:
        """What follows has no deadline."""
        self._busy = False
        self._context.membership.beat(self._step, "idle")

    def measured(self, *, force: bool = False) -> None:
        """Say how fast it is, where it is time or `force` asks for it."""
        if (force or self.measuring.due) and (found := self.measuring.document()):
            self.tell("measured", **found)

    def failed(self) -> None:
        """A worker was lost; what was under way is done again."""
        self.measuring.interrupted()
        self._goodput.spent("redone" if self._busy else "idle")
        self.idle()

    def waiting(self, waits: bool) -> None:
        """This worker waits for others, or goes on."""
        self._context.membership.beat(self._step, "collective" if waits else "compute" if self._busy else "idle")

    def lost(self, samples: int) -> int:
        """How many samples had been used already of those that follow after so many."""
        return max(0, self._reached - samples)

    def _progressed(self, progress: Progress) -> None:
        if self.leads:
            self._context.progress(progress)
            self._context.tell("goodput", **self._goodput.document(), **self._traffic())
            self.measured()

    def _traffic(self) -> dict[str, int]:
        return {"sent_bytes_per_step": self._sent // self._shared_steps} if self._shared_steps else {}
