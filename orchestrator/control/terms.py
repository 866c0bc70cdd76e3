"""What an engine with a queue of its own is told of a job: how wide, where, how urgent, and for how long at most."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from orchestrator.backends.protocol import Needs, Standing, Terms
from orchestrator.control.demands import job_of, worked_at
from orchestrator.control.foreign import FOREIGN_ERRORS
from orchestrator.control.site import Site
from orchestrator.lifecycle.states import JobState
from orchestrator.scheduling.upper_bound import upper_bound
from orchestrator.store import jobs
from orchestrator.store.jobs import OpenJob
from orchestrator.store.records import JobRecord, RunRecord


@dataclass(frozen=True)
class Width:
    """How wide a run may be where the engine places it.

    Attributes:
        least: workers that it begins with at least.
        first: that it is launched with: an elastic run begins with its fewest, others take what they get up to that.
        most: that it may ever have.
    """

    least: int
    first: int
    most: int

    @classmethod
    def of(cls, site: Site, job: JobRecord | OpenJob) -> Width:
        """Of the next run of a job."""
        most, grows = _limited(site, job), site.profile.slurm.growth is not None
        if job.elastic:
            return cls(job.workers_min, job.workers_min, most if grows else job.workers_min)
        return cls(job.workers_min, most, most)


def standing_of(job: JobRecord) -> Standing:
    """Where it stands among others now."""
    return Standing(job.priority, job.team, held=job.state is JobState.HELD)


def terms_of(site: Site, job: JobRecord, row: OpenJob) -> Terms:
    """Of the allocation that a run of a job begins with.

    Args:
        site: where.
        job: whose.
        row: of the same job, as decisions read it.
    """
    width = Width.of(site, job)
    most = _limited(site, job) if job.elastic else width.most  # equal shares may come to more than the fewest
    expected = _at_most(row, width.least)
    return Terms(width.least, most, standing_of(job), job.name, _needs_of(job), expected)


def growth_terms(site: Site, connection: Connection, job: JobRecord, run: RunRecord, workers: int) -> Terms:
    """Of an allocation by which a run that is under way grows."""
    row = jobs.open_job(connection, job.id)
    left = _at_most(row, max(1, run.world_size), worked=worked_at(row, run, site.clock.now()))
    return Terms(workers, workers, standing_of(job), job.name, _needs_of(job), left, growth=True)


def _limited(site: Site, job: JobRecord | OpenJob) -> int:
    """The most workers that it may have on this cluster."""
    limit = site.profile.limits.max_workers
    return max(job.workers_min, job.workers_max if limit is None else min(job.workers_max, limit))


def _needs_of(job: JobRecord) -> Needs:
    needs = job.needs
    return Needs(
        memory=needs.get("memory", 0),
        gpu_types=tuple(needs.get("gpu_types", ())),
        not_on=tuple(needs.get("not_on", ())),
        same_rack=needs.get("same_rack", False),
        anywhere=needs.get("anywhere", False),
    )


def _at_most(row: OpenJob, workers: int, worked: float | None = None) -> float | None:
    """Seconds that what is left takes at most, by our estimate and its error; None: nobody has an idea.

    Time limits have no part in it: the engine is told of them beside it.
    """
    try:
        job = replace(job_of(row), limit=None, max_time=None)
    except FOREIGN_ERRORS:
        return None
    job = job if worked is None else replace(job, worked=worked)
    bound = upper_bound(job, min(workers, job.demand.workers_max))
    return bound if math.isfinite(bound) else None
