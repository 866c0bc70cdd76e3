"""`Handover`: what may start is handed over to an engine that has a queue of its own, and places it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from orchestrator.backends.protocol import Capacity, Terms
from orchestrator.base.errors import BackendUnavailable, Fenced, SpecError, StoreError
from orchestrator.base.text import counted, one_line
from orchestrator.control.checking import Checking
from orchestrator.control.facts import Facts, FactsReader
from orchestrator.control.foreign import FOREIGN_ERRORS
from orchestrator.control.launching import Launching
from orchestrator.control.pool import all_at_once
from orchestrator.control.quota import Quota
from orchestrator.control.readable import readable
from orchestrator.control.ready import ready
from orchestrator.control.resting import Rest
from orchestrator.control.settling import Settling
from orchestrator.control.sight import Look
from orchestrator.control.site import Site
from orchestrator.control.starts import Starts, new_run, starting
from orchestrator.control.terms import Width, terms_of
from orchestrator.control.troubles import Troubles
from orchestrator.lifecycle.states import JobState, RunState
from orchestrator.store import jobs, runs
from orchestrator.store.jobs import OpenJob
from orchestrator.store.records import JobRecord, RunRecord

_LOG = logging.getLogger(__name__)

BATCH = 100
"""Runs that are written down, and handed over, in one pass; two transactions for all of them."""

_UNCHECKED = 2.0
"""Seconds until jobs are looked at again of which nobody could say whether they fit."""


@dataclass(frozen=True)
class _Handed:
    """A run that is on its way to the engine."""

    job: JobRecord
    run: RunRecord
    terms: Terms


class Handover:
    """Everything between two runs of a job, where the engine decides when and where they start."""

    def __init__(self, site: Site, starts: Starts, troubles: Troubles) -> None:
        self._site = site
        self._starts = starts
        self._troubles = troubles
        self._launching = Launching(site)
        self._settling = Settling(site)
        self._checking = Checking(site, starts, troubles)
        self._quota = Quota(site)
        self._reader = FactsReader()
        self._unasked: dict[str, RunRecord] = {}
        self._served: int | None = None
        self._settled: int | None = None
        self._due: float | None = None
        self._rest = Rest(site.clock)

    def spare(self, active: Sequence[RunRecord], look: Look) -> int:
        """Places in the engine's queue that growth may have; see `Quota`."""
        return self._quota.spare(active, look)

    def again(self, run: RunRecord) -> None:
        """It was written down, and the engine does not know it: the next `serve` asks for it."""
        self._unasked[run.id] = run

    def serve(self, capacity: Capacity) -> float | None:
        """One pass over the queue.

        Args:
            capacity: of the engine, which sees to it by itself.

        Returns:
            Seconds until something is to be done although nothing happens; None where nothing is.
        """
        self._settling.settle()
        unasked, self._unasked = self._unasked, {}
        now, resting = self._site.clock.monotonic(), self._rest.left
        version = self._site.store.version  # read before the queue, so that nothing submitted meanwhile is missed
        if resting and self._settled == version:
            return resting
        if not unasked and self._served == version and (self._due is None or now < self._due):
            return None if self._due is None else self._due - now
        facts = self._reader.read(self._site.store)
        self._settling.fail_dependants(facts)
        self._settled = version
        return resting or self._start(facts, [*unasked.values()], version)

    def _start(self, facts: Facts, unasked: Sequence[RunRecord], version: int) -> float | None:
        """Hand over what may start; as `serve` does, it tells when something is to be done again."""
        found, wait = self._ready(facts)
        found, checked = self._checking.passed(found)
        if not checked:
            wait = _UNCHECKED if wait is None else min(wait, _UNCHECKED)
        self._due = None if wait is None else self._site.clock.monotonic() + wait
        fitting = self._quota.fitting(found, facts, max(0, BATCH - len(unasked)))
        new = self._write_down(fitting)
        done = self._hand_over([*self._known(unasked), *new])
        self._served = version if done and not unasked and not fitting else None
        if not done:
            return self._rest.begin()
        self._rest.over()
        return 0.0 if new and len(found) > len(fitting) else wait

    def _ready(self, facts: Facts) -> tuple[list[OpenJob], float | None]:
        """Who may start, in order, and seconds until the next one may whose last run failed.

        Jobs in trouble come last, for they would be before the others again and again.
        """
        now = self._site.clock.now()
        found, waits = ready(facts, self._settling.back_off, self._troubles)
        return found, max(0.0, min(waits) - now) if waits else None

    def _known(self, unasked: Sequence[RunRecord]) -> list[_Handed]:
        """Runs that were written down before."""
        found, trouble = list[_Handed](), dict[str, Exception]()
        with self._site.store.read() as connection:
            known = runs.get_many(connection, [seen.id for seen in unasked])
            asked = [run for run in known.values() if run.state is RunState.CREATED and run.stop_cause is None]
            of_jobs = readable(connection, [run.job for run in asked])
            for run in asked:
                if (job := of_jobs.jobs.get(run.job)) is None:
                    continue
                try:
                    found.append(_Handed(job, run, terms_of(self._site, job, jobs.open_job(connection, job.id))))
                except FOREIGN_ERRORS as error:
                    trouble[job.id] = error
        self._told({**of_jobs.damaged, **trouble})
        return found

    def _write_down(self, ready: Sequence[OpenJob]) -> list[_Handed]:
        """The next run of each, in one transaction; one job's trouble is not the others'."""
        if not ready:
            return []
        names = [queued.id for queued in ready]
        with self._site.store.read() as connection:
            pins, (known, damaged) = runs.pins(connection), readable(connection, names)
        found, trouble = list[_Handed](), dict(damaged)
        for queued in ready:  # before the transaction, for disks may be slow
            if (job := known.get(queued.id)) is None or job.state is not JobState.QUEUED:
                continue
            try:
                run = self._next_run(job, pins.get(job.id))
                found.append(_Handed(job, run, terms_of(self._site, job, queued)))
            except Exception as error:
                trouble[queued.id] = error
        with self._site.commit("start") as connection:
            pinned, now = runs.pins(connection), readable(connection, [one.job.id for one in found]).jobs
            # What somebody has cancelled, held or changed since it was looked at is looked at anew.
            same = {job for job in now if pinned.get(job) == pins.get(job)}
            found = [one for one in found if one.job.id in same and now[one.job.id] == one.job]
            runs.insert_all(connection, [one.run for one in found])
            jobs.start_all(connection, [(one.job, one.run, starting(one.run)) for one in found])
        self._told(trouble)
        return found

    def _next_run(self, job: JobRecord, pin: int | None) -> RunRecord:
        width = Width.of(self._site, job)
        pinned = job.elastic and pin is not None and width.least <= pin <= width.most
        wanted = pin if pinned and pin else width.most
        return new_run(self._site, job, workers=width.first, wanted=wanted, pinned=pinned)

    def _hand_over(self, handed: Sequence[_Handed]) -> bool:
        """Ask the engine for all of them; False where it did not answer."""
        if not handed:
            return True
        asks = [partial(self._launching.run, one.job, one.run, one.terms) for one in handed]
        results = [*zip(handed, all_at_once(asks), strict=True)]
        if taken := [one for one, error in results if error is None]:
            self._taken(taken)
        silent = [(one, error) for one, error in results if isinstance(error, BackendUnavailable)]
        if silent:
            self._not_taken([one for one, _ in silent], silent[0][1])
        for one, error in results:
            if error is not None and not isinstance(error, BackendUnavailable):
                self._failed(one, error)
        return not silent

    def _taken(self, taken: Sequence[_Handed]) -> None:
        """The engine has them: one transaction for all."""
        with self._site.commit("launched") as connection:
            standings = {one.run.id: one.terms.standing for one in taken}
            runs.launched(connection, {run: (told.priority, told.held) for run, told in standings.items()})
            reasons = {one.job.id: handed_over(self._site, one.run) for one in taken}
            jobs.set_reasons(connection, reasons, JobState.STARTING)
        for one in taken:
            self._troubles.over(one.job.id)

    def _not_taken(self, handed: Sequence[_Handed], error: BackendUnavailable) -> None:
        """They stay written down, and are asked for again."""
        why = f"the engine has not accepted it yet: {one_line(error.message, 300)}"
        _LOG.warning("%s: %s", counted(len(handed), "run"), why)
        with self._site.commit("not launched yet") as connection:
            jobs.set_reasons(connection, {one.job.id: why for one in handed}, JobState.STARTING)

    def _failed(self, one: _Handed, error: Exception) -> None:
        try:
            self._starts.not_launched(one.job, one.run, error)
        except (Fenced, StoreError):
            raise
        except Exception as raised:
            self._troubles.met(one.job.id, raised)

    def _told(self, trouble: Mapping[str, Exception]) -> None:
        """No run of these could be written down, or asked for."""
        for job, error in trouble.items():
            if isinstance(error, SpecError):
                self._starts.give_up(job, error)
            else:
                self._troubles.met(job, error)


def handed_over(site: Site, run: RunRecord) -> str:
    """Why a job is STARTING whose run the engine has."""
    many = counted(run.world_size, "worker")
    return f"{run.id} was handed to {site.backend.name.capitalize()}, which starts it on {many} when its turn comes"


def pending_on_engine(site: Site) -> list[tuple[JobRecord, RunRecord]]:
    """Jobs whose runs the engine has, or is about to get, and has not started, the oldest first. Any thread may ask."""
    with site.store.read() as connection:
        waiting = [run for run in runs.unreleased(connection) if run.state in {RunState.CREATED, RunState.LAUNCHED}]
        found = jobs.get_many(connection, [run.job for run in waiting])
    return [(found[run.job], run) for run in waiting]
