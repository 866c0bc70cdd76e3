"""`Standings`: jobs that wait in an engine's own queue stand there as they do here: by priority, held or not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from orchestrator.backends.protocol import AllocationState
from orchestrator.base.errors import BackendUnavailable, Conflict, Fenced, StoreError
from orchestrator.base.text import counted, one_line
from orchestrator.control.pool import all_at_once
from orchestrator.control.readable import readable
from orchestrator.control.resting import Rest
from orchestrator.control.sight import Look
from orchestrator.control.site import Site
from orchestrator.control.terms import standing_of
from orchestrator.control.troubles import Troubles
from orchestrator.lifecycle.states import JobState
from orchestrator.store import events, jobs, runs
from orchestrator.store.records import JobRecord, RunRecord

_LOG = logging.getLogger(__name__)

_AT_ONCE = 8
"""So many are brought in line in one pass, holds and releases before priorities: each costs the engine a call."""
_A_SECOND = 4.0
"""In the long run."""
_LONGEST = 500


@dataclass(frozen=True)
class _Changed:
    """An allocation that waits where its job does not stand any more."""

    job: JobRecord
    run: RunRecord
    allocation: str

    @property
    def joins(self) -> bool:
        """Whether it is to join a run that is under way."""
        return self.allocation != self.run.allocation

    @property
    def held_otherwise(self) -> bool:
        """Whether somebody has held or released it."""
        return not self.joins and self.run.told_held != standing_of(self.job).held


class Standings:
    """Tells the engine what has changed since it was told of a run."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._troubles = Troubles(site)
        self._rest = Rest(site.clock)
        self._growth_told: dict[str, int] = {}
        self._allowed = float(_AT_ONCE)
        self._counted_at = site.clock.monotonic()

    def keep(self, look: Look) -> None:
        """Bring what waits in the engine's queue in line with its jobs; what it did not take waits.

        Args:
            look: at the engine.
        """
        with self._site.store.read() as connection:
            changed = runs.out_of_line(connection)
            found = readable(connection, [run.job for run in changed])
        growth = self._growth(look)
        self._troubles.forget({run.job for run in changed} | {one.job.id for one in growth})
        for job, error in found.damaged.items():
            self._troubles.met(job, error)
        waiting = list[_Changed]()
        for run in changed:
            record, state = found.jobs.get(run.job), look.at(run.allocation).state
            if record is None:
                continue
            if state is AllocationState.RUNNING and record.state is JobState.HELD:
                self._too_late(run)
            elif state is AllocationState.PENDING and _is_out_of_line(record, run):
                waiting.append(_Changed(record, run, run.allocation))
        waiting += growth
        waiting.sort(key=lambda one: (one.job.id in self._troubles, not one.held_otherwise))
        self._tell(waiting[: self._places()] if waiting else [])

    def _growth(self, look: Look) -> Sequence[_Changed]:
        """What waits to join a run, where it is not known that it was told the priority of now."""
        growing = [one for of_run in look.growth.values() for one in of_run if not one.stopping]
        pending = [one for one in growing if look.at(one.id).state is AllocationState.PENDING]
        known = {one.id for one in pending}
        self._growth_told = {name: told for name, told in self._growth_told.items() if name in known}
        if not pending:
            return []
        with self._site.store.read() as connection:
            active = runs.get_many(connection, [one.run for one in pending])
            found = readable(connection, {run.job for run in active.values()}).jobs  # of others `Growing` tells
        changed = [
            _Changed(found[run.job], run, one.id)
            for one in pending
            if (run := active.get(one.run)) is not None and run.job in found
        ]
        return [one for one in changed if self._growth_told.get(one.allocation) != one.job.priority]

    def _places(self) -> int:
        """How many it may be told of now."""
        now = self._site.clock.monotonic()
        self._allowed = min(_AT_ONCE, self._allowed + _A_SECOND * (now - self._counted_at))
        self._counted_at = now
        return 0 if self._rest.left else int(self._allowed)

    def _too_late(self, run: RunRecord) -> None:
        try:
            with self._site.commit("hold too late") as connection:
                released_by_start(connection, self._site, jobs.get(connection, run.job), run)
        except (Fenced, StoreError):
            raise
        except Exception as error:  # one job's trouble is not the others'
            self._troubles.met(run.job, error)

    def _tell(self, changed: Sequence[_Changed]) -> None:
        if not changed:
            return
        self._allowed -= len(changed)
        refused = dict[str, str]()
        asks = [partial(self._adjust, one, refused) for one in changed]
        results = [*zip(changed, all_at_once(asks), strict=True)]
        silent = [error for _, error in results if isinstance(error, BackendUnavailable)]
        if silent:
            many, seconds = counted(len(silent), "allocation"), self._rest.begin()
            _LOG.warning("the engine does not move %s: %s", many, one_line(silent[0].message, 300))
            _LOG.info("it is told again after %g s", seconds)
        else:
            self._rest.over()
        for one, error in results:
            if error is None:
                self._told(one, refused[one.allocation])
            elif not isinstance(error, BackendUnavailable):
                self._troubles.met(one.job.id, error)

    def _told(self, one: _Changed, refused: str) -> None:
        standing, now = standing_of(one.job), self._site.clock.now()
        if one.joins:
            self._growth_told[one.allocation] = standing.priority
        if one.joins and not refused:
            return
        try:
            with self._site.commit("adjusted") as connection:
                if not one.joins:
                    runs.change(connection, one.run, told_priority=standing.priority, told_held=standing.held)
                if refused:
                    what = one.allocation if one.joins else one.run.id
                    said = f"{what} in {self._site.backend.name.capitalize()}: {one_line(refused, _LONGEST)}"
                    events.append(connection, one.job.id, "refused", said, time=now, run=one.run.id)
        except Conflict as error:
            _LOG.info("%s", error.message)
        self._troubles.over(one.job.id)

    def _adjust(self, one: _Changed, refused: dict[str, str]) -> None:
        with self._site.engine("adjust") as backend:
            refused[one.allocation] = backend.adjust(one.allocation, standing_of(one.job))


def released_by_start(connection: Connection, site: Site, job: JobRecord, run: RunRecord) -> JobRecord:
    """A held job whose run the engine has started: the hold came too late.

    Args:
        connection: of a transaction.
        site: where.
        job: as it is now.
        run: its newest one.
    """
    if job.state is not JobState.HELD or job.token != run.token:
        return job
    reason = f"the hold came too late: {site.backend.name.capitalize()} has started {run.id}"
    return jobs.move(connection, job, JobState.STARTING, reason=reason, time=site.clock.now(), run=run.id)


def _is_out_of_line(job: JobRecord, run: RunRecord) -> bool:
    standing = standing_of(job)
    return (run.told_priority, run.told_held) != (standing.priority, standing.held)
