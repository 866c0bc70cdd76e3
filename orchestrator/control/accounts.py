"""What runs have used, counted once: for their jobs and for the shares of teams."""

from __future__ import annotations

import logging

from sqlalchemy import Connection

from orchestrator.control.demands import counted_of, worked_at
from orchestrator.control.site import Site
from orchestrator.store import jobs, runs, usage
from orchestrator.store.records import RunRecord

_LOG = logging.getLogger(__name__)

JUMP = 5.0
"""Seconds by which wall clock and monotonic time must differ at once: less is a clock that is being slewed."""

EVERY = 60.0
"""Seconds between two counts of what goes on."""


class Accounts:
    """Counts what goes on now and then; ends and changes of width are counted where they are taken in."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._counted_at = site.clock.monotonic()
        self._wall, self._monotonic = site.clock.now(), site.clock.monotonic()

    def follow_clock(self) -> None:
        """Where the clock was set, what is counted moves with it: no time has passed."""
        wall, monotonic = self._site.clock.now(), self._site.clock.monotonic()
        jump = (wall - self._wall) - (monotonic - self._monotonic)
        self._wall, self._monotonic = wall, monotonic
        if abs(jump) < JUMP:
            return
        _LOG.warning("the clock was set by %+.0f s", jump)
        with self._site.commit("clock") as connection:
            for run in runs.unreleased(connection):
                runs.change(connection, run, counted=counted_of(run) + jump)

    def keep(self) -> None:
        """Count all runs that hold slots, where the last count is old."""
        now = self._site.clock.monotonic()
        if now - self._counted_at < EVERY:
            return
        self._counted_at = now
        with self._site.store.read() as connection:
            active = runs.unreleased(connection)
        if active:
            with self._site.commit("count") as connection:
                for run in runs.unreleased(connection):
                    if _holds(self._site, run):
                        charge(connection, self._site, run)


def charge(connection: Connection, site: Site, run: RunRecord, *, until: float | None = None) -> RunRecord:
    """Count what a run has used since the last count, in the caller's transaction; twice at one time is once.

    Args:
        connection: of a transaction.
        site: where.
        run: that holds slots.
        until: when what is taken in now happened; default: now, or when the run ended.
    """
    now = site.clock.now()
    ended = min(at for at in (now, until, run.ended_at) if at is not None)
    counted = max(counted_of(run), ended)  # what is counted is never counted again, wherever the clock is set to
    seconds = counted - counted_of(run)
    job = jobs.open_job(connection, run.job)
    if seconds and run.slots and _holds(site, run):
        used = seconds * run.slots
        jobs.add_attained(connection, run.job, used)
        usage.add(connection, {job.team: used}, now=now, half_life=site.profile.policy.order.half_life)
    return runs.change(connection, run, counted=counted, worked=worked_at(job, run, counted))


def _holds(site: Site, run: RunRecord) -> bool:
    """Whether it holds slots: what waits in an engine's own queue does not."""
    return not site.backend.queues or run.started_at is not None
