"""`Wait`: until when a job waits if nobody does anything, and which jobs end or start before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.base.text import counted
from orchestrator.lifecycle.reasons import utc
from orchestrator.simulation.forecast import Forecast

_SHOWN = 3


@dataclass(frozen=True)
class Wait:
    """What is expected of one job that waits.

    Attributes:
        at: when it starts, seconds since the epoch.
        ends: jobs that end by then, first to last.
        starts: jobs that start by then and go on.
        before: jobs before it in the queue, where these were not played through but reckoned by their work.
        by_limit: nothing but a time limit says when those are over that it waits for longest: it may start earlier.
    """

    at: float
    ends: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    before: int = 0
    by_limit: bool = False

    @classmethod
    def played(cls, job: str, at: float, view: Forecast, *, by_limit: bool = False) -> Wait:
        """Of a job that starts at `at` in this forecast."""
        ends = _until(at, view.ends)
        starts = tuple(other for other in _until(at, view.starts) if other not in {job, *ends})
        return cls(at, ends, starts, by_limit=by_limit)

    @property
    def text(self) -> str:
        """`wait until about 2026-11-21 14:20:00 UTC: 5 jobs (j-1, j-2, j-3, …) should end and j-9 start before it`."""
        when = f"{utc(self.at)} at the latest (time limits)" if self.by_limit else f"about {utc(self.at)}"
        return f"wait until {when}{self._what()}"

    def _what(self) -> str:
        if self.before:
            return f": {counted(self.before, 'job')} before it should be done with most of their work by then"
        ends, starts = _jobs(self.ends), _jobs(self.starts)
        if not ends:
            return f": {starts} should start before it" if starts else ""
        return f": {ends} should end{f' and {starts} start' if starts else ''} before it"


def _until(at: float, times: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(job for when, job in sorted((when, job) for job, when in times.items()) if when <= at)


def _jobs(jobs: tuple[str, ...]) -> str:
    shown = ", ".join(jobs[:_SHOWN])
    if len(jobs) < 2:
        return shown
    return f"{counted(len(jobs), 'job')} ({shown}{', …' if len(jobs) > _SHOWN else ''})"
