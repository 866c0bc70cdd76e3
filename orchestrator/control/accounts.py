"""What runs have used, counted once: for their jobs and for the shares of teams."""

from __future__ import annotations

from sqlalchemy import Connection

from orchestrator.control.demands import counted_of, worked_at
from orchestrator.control.site import Site
from orchestrator.store import jobs, runs, usage
from orchestrator.store.records import RunRecord

EVERY = 60.0
"""Seconds between two counts of what goes on."""


class Accounts:
    """Counts what goes on now and then; ends and changes of width are counted where they are taken in."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._counted_at = site.clock.monotonic()

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
                    charge(connection, self._site, run)


def charge(connection: Connection, site: Site, run: RunRecord) -> RunRecord:
    """Count what a run has used since the last count, in the caller's transaction; twice at one time is once."""
    now = site.clock.now()
    seconds = max(0.0, now - counted_of(run))  # a clock that was set back takes nothing back
    job = jobs.open_job(connection, run.job)
    if seconds and run.slots:
        used = seconds * run.slots
        jobs.add_attained(connection, run.job, used)
        usage.add(connection, {job.team: used}, now=now, half_life=site.profile.policy.order.half_life)
    return runs.change(connection, run, counted=now, worked=worked_at(job, run, now))
