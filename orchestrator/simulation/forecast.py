"""What will happen to a queue as it stands: expected starts and ends, and whom a new job would delay."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from orchestrator.scheduling.estimates.outlived import quantile
from orchestrator.scheduling.jobs import Job, total_expected
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.simulation.engine import Engine
from orchestrator.simulation.truth import Charges
from orchestrator.spec.policy import Policy

MOST_EVENTS = 20_000
_DELAY = 1.0
NOTHING: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Forecast:
    """What is expected. It is computed as if every job took as long as is expected of it now, and none came.

    Attributes:
        now: when it was made, seconds since the epoch.
        starts: of jobs that wait now, by identifier; who is not named does not start as far as is looked ahead.
        ends: of all jobs that are expected to end as far as is looked ahead.
        until: how far ahead was looked, seconds since the epoch.
    """

    now: float
    starts: Mapping[str, float]
    ends: Mapping[str, float]
    until: float


@dataclass(frozen=True, slots=True)
class Postponed:
    """A job that ends later, or, where nobody knows how long it takes, starts later.

    Attributes:
        job: identifier.
        before: when it was expected to, seconds since the epoch.
        after: when it is now; where `beyond`, when the view ends.
        beyond: it is later than was looked ahead.
    """

    job: str
    before: float
    after: float
    beyond: bool = False

    @property
    def seconds(self) -> float:
        """How much later; where it is beyond the view, at least so many."""
        return self.after - self.before


def forecast(
    snapshot: Snapshot,
    policy: Policy,
    *,
    horizon: float,
    extra: Job | None = None,
    share: float | None = None,
    charges: Charges | None = None,
    most_events: int = MOST_EVENTS,
    known: Mapping[str, float] = NOTHING,
) -> Forecast:
    """Run ahead of a snapshot, with the scheduler itself.

    Each job is taken to need the work that is expected of it, given what it has done, or that a share of those like it
    stay below; where there is no estimate, what its time limit leaves; where there is none either, it never ends. The
    policy knows no more of that than it does of live jobs: it goes by their estimates.

    Args:
        snapshot: the cluster and its jobs.
        policy: that serves the queue.
        horizon: seconds to look ahead.
        extra: one more job, which comes now.
        share: as if each job took as long as this share of those that are like it; None: as long as is expected.
        charges: what preemptions and resizes cost.
        most_events: so many events end it earlier.
        known: seconds of work, in all, of jobs of which more is known than their estimates.
    """
    if extra is not None:
        snapshot = replace(snapshot, pending=(*snapshot.pending, extra))
    until = snapshot.now + horizon
    engine = Engine(snapshot, (), policy, work=_work(snapshot, share) | dict(known), charges=charges)
    result = engine.run(until=until, most_events=most_events)
    waited = {job.id for job in snapshot.pending}
    starts = {outcome.job: outcome.started for outcome in result.outcomes if outcome.job in waited}
    lives = engine.world.lives.values()
    starts |= {life.job.id: life.started for life in lives if life.runs and life.job.id in waited}
    ends = {outcome.job: outcome.ended for outcome in result.outcomes}
    cut_short = engine.events >= most_events
    return Forecast(snapshot.now, starts, ends, min(until, result.ended) if cut_short else until)


def who_is_delayed(before: Forecast, after: Forecast, *, least: float = _DELAY) -> tuple[Postponed, ...]:
    """Jobs that the second forecast has end later than the first, the longest delays first.

    A job that has no end in the first one is judged by its start.

    Args:
        before: of a queue.
        after: of the same jobs, and others.
        least: seconds; shorter delays are none.
    """
    ends = (_postponed(job, at, after.ends.get(job), after.until) for job, at in before.ends.items())
    endless = {job: at for job, at in before.starts.items() if job not in before.ends}
    starts = (_postponed(job, at, after.starts.get(job), after.until) for job, at in endless.items())
    found = [delay for delay in (*ends, *starts) if delay.seconds >= least]
    return tuple(sorted(found, key=lambda d: (-d.seconds, d.before, d.job)))


def _postponed(job: str, before: float, after: float | None, until: float) -> Postponed:
    return Postponed(job, before, until, beyond=True) if after is None else Postponed(job, before, after)


def _work(snapshot: Snapshot, share: float | None) -> dict[str, float]:
    """Seconds of work of each job in all, as far as anybody has an idea."""
    work = {job.id: _total(job, job.worked, share) for job in snapshot.pending}
    for running in snapshot.running:
        work.setdefault(running.job.id, _total(running.job, running.worked(snapshot.now), share))
    return work


def _total(job: Job, worked: float, share: float | None) -> float:
    if job.estimate is not None and share is not None:
        return quantile(job.estimate, worked, share)
    if job.estimate is not None:
        return max(worked, total_expected(job.estimate, worked))
    return math.inf if job.limit is None else worked + job.limit
