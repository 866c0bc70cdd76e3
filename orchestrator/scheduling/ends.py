"""`Ends`: running jobs by when they should be over, kept sorted while things happen."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from orchestrator.scheduling.expected import expected_end
from orchestrator.scheduling.jobs import Running


class End(NamedTuple):
    """A running job should be over.

    Attributes:
        at: seconds since the epoch; infinite where nobody knows.
        sequence: of the job.
        job: identifier.
    """

    at: float
    sequence: int
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
        late: list[End] = []
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

    def known(self) -> Iterator[End]:
        """Those of which anybody has an idea, earliest first."""
        for end in self._order:
            if end.at == math.inf:
                return
            yield end

    def _end(self, running: Running) -> End:
        return End(expected_end(running, self.now), running.job.sequence, running.job.id)
