"""`Growing`: runs on an engine with a queue of its own get wider by allocations that join them, and give them back."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from sqlalchemy import Connection

from orchestrator.backends.protocol import AllocationState, LaunchRequest, Observation
from orchestrator.base.errors import BackendUnavailable, Fenced, LaunchRefused, SpecError, StoreError
from orchestrator.base.text import counted, one_line
from orchestrator.control.launching import Launching
from orchestrator.control.pool import all_at_once
from orchestrator.control.readable import readable
from orchestrator.control.sight import Look
from orchestrator.control.site import Site
from orchestrator.control.stops import Stops
from orchestrator.control.terms import growth_terms
from orchestrator.control.timers import Absences
from orchestrator.control.troubles import Troubles
from orchestrator.control.vacating import Vacating
from orchestrator.control.weighing import Weighing
from orchestrator.lifecycle.states import GrowthState, RunState
from orchestrator.rundir.launch import read_launch
from orchestrator.store import allocations, events, runs
from orchestrator.store.records import GrowthRecord, JobRecord, RunRecord

_LOG = logging.getLogger(__name__)

_REST = 10.0
"""Seconds without a launch after one that went wrong, and that may go well later."""
_SHORTEST_LIMIT = 60.0
"""Seconds that growth is given at least, however little of its run's time is left."""


class Growing:
    """Tends what runs grew by, and lets them grow.

    Args:
        site: where.
        stops: what ends allocations.
    """

    def __init__(self, site: Site, stops: Stops) -> None:
        self._site = site
        self._stops = stops
        self._launching = Launching(site)
        self._absences = Absences(site.clock, site.profile.watch.lost_after)
        self._weighing = Weighing(site)
        self._vacating = Vacating(site.clock)
        self._troubles = Troubles(site)
        self._rests_until = 0.0

    def unknown(self) -> None:
        """The engine did not answer."""
        self._absences.unknown()

    def tend(self, seen: Sequence[RunRecord], look: Look) -> None:
        """One pass.

        Args:
            seen: runs that hold something of the engine, as they were when this pass began.
            look: at the engine.

        Raises:
            BackendUnavailable: the engine does not answer.
        """
        if not self._site.backend.queues:
            return
        self._vacating.see(look.capacity)
        with self._site.store.read() as connection:
            active = runs.get_many(connection, [*look.growth, *(run.id for run in seen if _should_grow(run))])
            known, damaged = readable(connection, {run.job for run in active.values()})
        self._troubles.forget({run.job for run in active.values()})
        for name, error in damaged.items():
            self._troubles.met(name, error)
        unasked, wider = list[GrowthRecord](), list[GrowthRecord]()
        for run in active.values():
            if run.job not in known:
                continue
            try:
                unasked += [one for one in look.growth.get(run.id, ()) if self._follow(one, look.at(one.id))]
                wider += self._sized(known[run.job], run, look)
                self._troubles.over(run.job)
            except (BackendUnavailable, Fenced, StoreError):
                raise
            except Exception as problem:  # one run's trouble is not the others'
                self._troubles.met(run.job, problem)
        self._weighing.forget(active)
        self._launch([*self._again(unasked), *self._written_down(wider)], known, active)

    def _sized(self, job: JobRecord, run: RunRecord, look: Look) -> Sequence[GrowthRecord]:
        """What is too much of a run leaves; what should join it."""
        with self._site.store.read() as connection:
            grown = allocations.of_runs(connection, [run.id])[run.id]
        self._release(job, run, grown, look)
        return [*self._weighing.wanted(job, run, grown, look)] if job.elastic and self._may_grow(run) else []

    def _may_grow(self, run: RunRecord) -> bool:
        grows = self._site.profile.slurm.growth is not None
        rested = self._site.clock.monotonic() >= self._rests_until
        return grows and rested and run.state is RunState.RUNNING and run.stop_cause is None

    def _follow(self, growth: GrowthRecord, seen: Observation) -> bool:
        """Take in what became of one; True where it was written down, and the engine does not know it."""
        match seen.state:
            case AllocationState.UNKNOWN:
                pass
            case AllocationState.ENDED:
                self._ended(growth, seen)
            case AllocationState.ABSENT:
                return self._absent(growth)
            case AllocationState.PENDING | AllocationState.RUNNING:
                self._absences.present(growth.id)
                self._there(growth, seen)
        return False

    def _there(self, growth: GrowthRecord, seen: Observation) -> None:
        runs_now = seen.state is AllocationState.RUNNING
        state = GrowthState.RUNNING if runs_now else GrowthState.LAUNCHED
        if growth.state is not state:
            since = seen.since if seen.since is not None else self._site.clock.now()
            with self._site.commit("growth seen") as connection:
                allocations.change(connection, growth, state=state, **({"started_at": since} if runs_now else {}))

    def _absent(self, growth: GrowthRecord) -> bool:
        if growth.state is GrowthState.CREATED and not growth.stopping:
            return True
        if growth.state is GrowthState.CREATED:
            over = self._stops.called_off(growth.id)
        else:
            over = growth.stopping or self._absences.absent(growth.id)
        if over:
            self._ended(growth, Observation(AllocationState.ENDED, detail="absent from the engine"))
        return False

    def _ended(self, growth: GrowthRecord, seen: Observation) -> None:
        now, began = self._site.clock.now(), growth.started_at
        why = one_line(seen.detail or (seen.failure_class or "").replace("_", " "), 300)
        with self._site.commit("growth ended") as connection:
            allocations.change(connection, growth, state=GrowthState.ENDED, ended_at=now)
            if not growth.stopping:
                run = runs.get(connection, growth.run)
                had = f"{counted(growth.workers, 'worker')} fewer" if began is not None else "it had not begun"
                said = f"{growth.id} is over{f' ({why})' if why else ''}: {had}"
                job = growth.run if run is None else run.job
                data = {"number": growth.number, "failure_class": seen.failure_class}
                events.append(connection, job, "growth", said, time=now, run=growth.run, data=data)
        self._stops.forget(growth.id)
        self._absences.present(growth.id)

    def _release(self, job: JobRecord, run: RunRecord, grown: Sequence[GrowthRecord], look: Look) -> None:
        """Ask those to leave that nobody wants any more, or that lie on drained nodes; those that do not are ended."""
        live = [one for one in grown if one.state is not GrowthState.ENDED]
        vacating = self._vacating.of(job, run, live, look)
        going = [replace(one, stopping=True) if one.id in vacating else one for one in live]
        surplus = self._weighing.surplus(job, run, going, look) | vacating.keys()
        if fresh := [one for one in live if one.id in surplus and not one.stopping]:
            with self._site.commit("growth released") as connection:
                for one in fresh:
                    allocations.change(connection, one, stopping=True)
                    if one.id in vacating:
                        self._say_that_it_leaves(connection, run, one.id, vacating[one.id])
        self._release_base(run, vacating)
        for one in live:
            there = look.at(one.id).state in {AllocationState.PENDING, AllocationState.RUNNING}
            if there and (one.stopping or one.id in surplus):
                self._stops.release(one.id)
            elif there and run.stop_cause is not None:
                self._stops.overstay(one.id)  # its control.json tells it to stop

    def _release_base(self, run: RunRecord, vacating: Mapping[str, str]) -> None:
        if run.allocation in vacating and self._stops.release(run.allocation):
            with self._site.commit("growth released") as connection:
                self._say_that_it_leaves(connection, run, run.allocation, vacating[run.allocation])

    def _say_that_it_leaves(self, connection: Connection, run: RunRecord, allocation: str, why: str) -> None:
        said = f"{allocation} is asked to leave: {one_line(why, 300)}"
        events.append(connection, run.job, "growth", said, time=self._site.clock.now(), run=run.id)

    def _written_down(self, wider: Sequence[GrowthRecord]) -> Sequence[GrowthRecord]:
        if not wider:
            return []
        with self._site.commit("growth") as connection:
            for one in wider:
                allocations.insert(connection, one)
                run = runs.get(connection, one.run)
                assert run is not None
                asked = f"{self._site.backend.name.capitalize()} is asked for {counted(one.workers, 'more worker')}"
                data = {"number": one.number, "workers": one.workers}
                said = f"{asked} ({one.id})"
                events.append(connection, run.job, "growth", said, time=one.created_at, run=run.id, data=data)
        return wider

    def _again(self, unasked: Sequence[GrowthRecord]) -> Sequence[GrowthRecord]:
        """Those of an earlier pass, unless somebody has changed their mind."""
        if not unasked or self._site.clock.monotonic() < self._rests_until:
            return []
        with self._site.store.read() as connection:
            now = {one.id: one for one in allocations.unended(connection)}
        return [one for seen in unasked if (one := now.get(seen.id)) is not None and not one.stopping]

    def _launch(
        self, wanted: Sequence[GrowthRecord], known: Mapping[str, JobRecord], active: Mapping[str, RunRecord]
    ) -> None:
        going = {run.id for run in active.values() if run.stop_cause is None and run.job in known}
        asked = [one for one in wanted if one.run in going]
        results = all_at_once([partial(self._ask, one, active[one.run], known[active[one.run].job]) for one in asked])
        taken = [one for one, error in zip(asked, results, strict=True) if error is None]
        if taken:
            with self._site.commit("growth launched") as connection:
                for one in taken:
                    allocations.change(connection, one, state=GrowthState.LAUNCHED)
        for one, error in zip(asked, results, strict=True):
            if isinstance(error, LaunchRefused | SpecError):
                _LOG.warning("%s cannot join its run: %s", one.id, error)
                self._ended(one, Observation(AllocationState.ENDED, detail=str(error)))
            elif error is not None:  # the engine may have taken it all the same: the next look shows
                _LOG.warning("%s has not been launched yet: %s", one.id, one_line(str(error), 300))
                self._rests_until = self._site.clock.monotonic() + _REST

    def _ask(self, growth: GrowthRecord, run: RunRecord, job: JobRecord) -> None:
        directory = self._site.run_directory(run)
        with self._site.store.read() as connection:
            terms = growth_terms(self._site, connection, job, run, growth.workers)
        launch = replace(read_launch(directory), workers=growth.workers)
        self._launching.ask(LaunchRequest(growth.id, directory, launch, self._time_left(run), terms=terms))

    def _time_left(self, run: RunRecord) -> float | None:
        if run.time_limit is None or run.started_at is None:
            return run.time_limit
        return max(_SHORTEST_LIMIT, run.started_at + run.time_limit - self._site.clock.now())


def _should_grow(run: RunRecord) -> bool:
    return run.state is RunState.RUNNING and run.world_size < run.wanted
