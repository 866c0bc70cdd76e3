"""Orders that look at nothing but the job: submission, and priority with aging."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.scheduling.orders.ranking import Key

if TYPE_CHECKING:
    from orchestrator.scheduling.jobs import Job, Running
    from orchestrator.scheduling.state import State


@dataclass(frozen=True)
class Submission:
    """First come, first served."""

    def group(self, job: Job) -> str:
        """One for all."""
        return ""

    def key(self, job: Job, now: float) -> Key:
        """Its sequence."""
        return (0.0, job.sequence)

    def until(self, job: Job, now: float) -> float:
        """It never changes."""
        return math.inf

    def running_key(self, running: Running, now: float) -> Key:
        """The same as while it waited."""
        return self.key(running.job, now)

    def latest_key(self, running: Running, now: float, until: float) -> Key:
        """The same at any time."""
        return self.running_key(running, now)

    def sinks(self, running: Running, now: float) -> float:
        """Never."""
        return math.inf

    def offsets(self, state: State, now: float) -> Mapping[str, float]:
        """None."""
        return {}


@dataclass(frozen=True)
class Priority(Submission):
    """Higher priority first. With aging, waiting `aging` seconds is worth one point.

    All age at the same rate, so that priority + waited / aging orders like priority - submitted / aging: the order
    of two jobs never changes while they wait.
    """

    aging: float | None = None

    def key(self, job: Job, now: float) -> Key:
        """What it lacks."""
        aged = 0.0 if self.aging is None else job.submitted / self.aging
        return (aged - job.priority, job.sequence)
