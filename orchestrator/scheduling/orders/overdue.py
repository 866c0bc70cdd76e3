"""Who has waited too long goes first, whatever the order is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.scheduling.orders.ranking import Key, Ranking

if TYPE_CHECKING:
    from orchestrator.scheduling.jobs import Job, Running
    from orchestrator.scheduling.state import State


@dataclass(frozen=True)
class Overdue:
    """The order `inner`, but before all others those who have waited for `patience` seconds, oldest first."""

    inner: Ranking
    patience: float

    def group(self, job: Job) -> str:
        """That of the order."""
        return self.inner.group(job)

    def key(self, job: Job, now: float) -> Key:
        """Its age, once it is overdue."""
        return _first(job) if now >= self._due(job) else self.inner.key(job, now)

    def until(self, job: Job, now: float) -> float:
        """When it becomes overdue."""
        due = self._due(job)
        return math.inf if now >= due else min(due, self.inner.until(job, now))

    def running_key(self, running: Running, now: float) -> Key:
        """Its age, if it was overdue when it started."""
        late = running.since >= self._due(running.job)
        return _first(running.job) if late else self.inner.running_key(running, now)

    def latest_key(self, running: Running, now: float, until: float) -> Key:
        """Its age, or that of the order."""
        late = running.since >= self._due(running.job)
        return _first(running.job) if late else self.inner.latest_key(running, now, until)

    def sinks(self, running: Running, now: float) -> float:
        """Never, if it was overdue when it started."""
        return math.inf if running.since >= self._due(running.job) else self.inner.sinks(running, now)

    def offsets(self, state: State, now: float) -> Mapping[str, float]:
        """Those of the order; they do not touch those who are overdue."""
        return self.inner.offsets(state, now)

    def _due(self, job: Job) -> float:
        return job.waits_since + self.patience


def _first(job: Job) -> Key:
    return (-math.inf, job.waits_since, job.sequence)
