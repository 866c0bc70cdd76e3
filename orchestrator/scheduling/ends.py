"""`Ends`: running jobs by when they should be over, kept sorted while things happen."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

from orchestrator.scheduling.cluster import Demand, Placement
from orchestrator.scheduling.expected import expected_end
from orchestrator.scheduling.jobs import Running

_at = attrgetter("at")


class Freed(NamedTuple):
    """Slots that come free by themselves when a job should be over.

    Attributes:
        at: seconds since the epoch; infinite where nobody knows.
        sequence: of the job that holds them, so that ties are broken.
        placement: what it holds; less, where it was asked for that.
        demand: of its workers.
        job: identifier.
    """

    at: float
    sequence: int
    placement: Placement
    demand: Demand
    job: str


class Ends:
    """Of all running jobs, as expected at a time that only goes on.

    Attributes:
        now: that time.
    """

    __slots__ = ("_of", "_order", "_running", "now")

    def __init__(self, running: Iterable[Running], now: float) -> None:
        self.now = now
        self._running = {run.job.id: run for run in running}
        self._of = {name: self._end(run) for name, run in self._running.items()}
        self._order = sorted(self._of.values())

    def copy(self) -> Ends:
        """One that can be changed by itself."""
        other = Ends((), self.now)
        other._running, other._of, other._order = self._running.copy(), self._of.copy(), self._order.copy()
        return other

    def put(self, running: Running) -> None:
        """It runs, as described."""
        self.drop(running.job.id)
        end = self._end(running)
        self._running[running.job.id], self._of[running.job.id] = running, end
        insort(self._order, end)

    def drop(self, job: str) -> None:
        """It runs no longer."""
        if self._running.pop(job, None) is not None:
            end = self._of.pop(job)
            del self._order[bisect_left(self._order, end)]

    def pass_to(self, now: float) -> None:
        """Time passes: who has outlived what was expected of it is expected to end later."""
        self.now = now
        late: list[Freed] = []
        for end in self._order:
            if end.at > now:
                break
            late.append(end)
        del self._order[: len(late)]
        for end in late:
            self._of[end.job] = self._end(self._running[end.job])
            insort(self._order, self._of[end.job])

    def first(self) -> float:
        """When the first one should be over."""
        return self._order[0].at if self._order else math.inf

    def known(self) -> list[Freed]:
        """Those of which anybody has an idea, earliest first."""
        return self._order[: bisect_left(self._order, math.inf, key=_at)]

    def _end(self, running: Running) -> Freed:
        job, keeps = running.job, running.keeps
        held = running.placement if keeps is None else keeps
        return Freed(expected_end(running, self.now), job.sequence, held, job.demand, job.id)
