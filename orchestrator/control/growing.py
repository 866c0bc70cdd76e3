"""`Growing`: runs on an engine with a queue of its own get wider by allocations that join them, and give them back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from orchestrator.backends.protocol import AllocationState, Observation
from orchestrator.base.errors import BackendUnavailable, Fenced, StoreError
from orchestrator.base.text import counted, one_line
from orchestrator.control.joining import Joining
from orchestrator.control.readable import readable
from orchestrator.control.sight import Look
from orchestrator.control.site import Site
from orchestrator.control.stops import Stops
from orchestrator.control.timers import Absences
from orchestrator.control.troubles import Troubles
from orchestrator.control.vacating import Vacating, workers_of_base
from orchestrator.control.weighing import Lack, Weighing
from orchestrator.lifecycle.states import GrowthState, RunState
from orchestrator.store import allocations, events, runs
from orchestrator.store.records import GrowthRecord, JobRecord, RunRecord

_WAITS = frozenset({GrowthState.CREATED, GrowthState.LAUNCHED})
_THERE = frozenset({AllocationState.PENDING, AllocationState.RUNNING})

T = TypeVar("T")


class Growing:
    """Tends what runs grew by, and lets them grow.

    Args:
        site: where.
        stops: what ends allocations.
    """

    def __init__(self, site: Site, stops: Stops) -> None:
        self._site = site
        self._stops = stops
        self._absences = Absences(site.clock, site.profile.watch.lost_after)
        self._weighing = Weighing(site)
        self._vacating = Vacating(site.clock)
        self._troubles = Troubles(site)
        self._joining = Joining(site, self._troubles)
        self._met: set[str] = set()

    def unknown(self) -> None:
        """The engine did not answer."""
        self._absences.unknown()

    def tend(self, seen: Sequence[RunRecord], look: Look, spare: int) -> None:
        """One pass.

        Args:
            seen: runs that hold something of the engine, as they were when this pass began.
            look: at the engine.
            spare: places in the engine's queue that growth may have.

        Raises:
            BackendUnavailable: the engine does not answer.
        """
        if not self._site.backend.queues:
            return
        self._vacating.see(look.capacity)
        with self._site.store.read() as connection:
            found = runs.get_many(connection, [*look.growth, *(run.id for run in seen if _should_grow(run))])
            known, damaged = readable(connection, {run.job for run in found.values()})
        active = {run.id: run for run in found.values() if run.job in known}
        self._troubles.forget({run.job for run in found.values()})
        self._met = set(damaged)
        for name, error in damaged.items():
            self._troubles.met(name, error)
        self._tend_unreadable({run: of_run for run, of_run in look.growth.items() if run not in active}, look)
        unasked = [
            self._try(run, partial(self._follow_all, look.growth.get(run.id, ()), look)) for run in active.values()
        ]
        live = self._live()
        excess = _excess([one for of_run in live.values() for one in of_run], look, spare)
        lacks = [
            self._try(run, partial(self._sized, known[run.job], run, live.get(run.id, ()), excess, look))
            for run in active.values()
        ]
        wider = self._wider([lack for lack in lacks if lack is not None], live, spare)
        self._weighing.forget(active)
        self._joining.forget(active)
        again = self._again([one for ones in unasked for one in ones or ()])
        for growth, why in self._joining.ask([*again, *self._written_down(wider)], known, active):
            self._ended(growth, Observation(AllocationState.ENDED, detail=why))
        for run in active.values():
            if run.job not in self._met and not self._joining.rests_for(run.id):
                self._troubles.over(run.job)

    def _try(self, run: RunRecord, step: Callable[[], T]) -> T | None:
        """One run's trouble is not the others'; None where it has any."""
        try:
            return step()
        except (BackendUnavailable, Fenced, StoreError):
            raise
        except Exception as problem:
            self._met.add(run.job)
            self._troubles.met(run.job, problem)
            return None

    def _live(self) -> Mapping[str, Sequence[GrowthRecord]]:
        """What is not over, of each run."""
        found: dict[str, list[GrowthRecord]] = {}
        with self._site.store.read() as connection:
            for one in allocations.unended(connection):
                found.setdefault(one.run, []).append(one)
        return found

    def _tend_unreadable(self, growth: Mapping[str, Sequence[GrowthRecord]], look: Look) -> None:
        """Of runs that cannot be read, or whose jobs cannot: it stays as long as the job is not over."""
        if not growth:
            return
        with self._site.store.read() as connection:
            over = runs.whose_jobs_are_over(connection, growth)
        for one in (one for of_run in growth.values() for one in of_run):
            if one.run in over and not one.stopping:
                with self._site.commit("growth released") as connection:
                    one = allocations.change(connection, one, stopping=True)
            self._follow(one, look.at(one.id))
            if one.stopping and look.at(one.id).state in _THERE:
                self._stops.release(one.id)

    def _follow_all(self, growth: Sequence[GrowthRecord], look: Look) -> list[GrowthRecord]:
        return [one for one in growth if self._follow(one, look.at(one.id))]

    def _sized(
        self, job: JobRecord, run: RunRecord, live: Sequence[GrowthRecord], excess: Collection[str], look: Look
    ) -> Lack | None:
        """What is too much of a run leaves; what it lacks."""
        self._release(job, run, live, excess, look)
        return self._weighing.lack(job, run, live, look) if job.elastic and self._may_grow(run) else None

    def _wider(
        self, lacks: Sequence[Lack], live: Mapping[str, Sequence[GrowthRecord]], spare: int
    ) -> list[GrowthRecord]:
        """What should join runs now: as much as there are places for in the engine's queue."""
        places = spare - sum(one.state in _WAITS for of_run in live.values() for one in of_run)
        found = list[GrowthRecord]()
        for lack in self._weighing.ready(lacks) if places > 0 else ():
            new = self._try(lack.run, partial(self._weighing.growth, lack, places - len(found)))
            found += new or ()
        return found

    def _may_grow(self, run: RunRecord) -> bool:
        grows = self._site.profile.slurm.growth is not None
        rested = not (self._joining.rests or self._joining.rests_for(run.id))
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
            job = runs.jobs_of(connection, [growth.run]).get(growth.run)
            if not growth.stopping and job is not None:
                had = f"{counted(growth.workers, 'worker')} fewer" if began is not None else "it had not begun"
                said = f"{growth.id} is over{f' ({why})' if why else ''}: {had}"
                data = {"number": growth.number, "failure_class": seen.failure_class}
                events.append(connection, job, "growth", said, time=now, run=growth.run, data=data)
        self._stops.forget(growth.id)
        self._absences.present(growth.id)

    def _release(
        self, job: JobRecord, run: RunRecord, live: Sequence[GrowthRecord], excess: Collection[str], look: Look
    ) -> None:
        """Ask those to leave that nobody wants any more, or that lie on drained nodes; those that do not are ended.

        Args:
            job: whose run it is.
            run: any.
            live: what is not over of that by which it grew, and what it began with where that was asked to leave.
            excess: growth that waits where runs need its places.
            look: at the engine.
        """
        vacating = self._vacating.of(job, run, live, look)
        leaves = excess | vacating.keys()
        going = [replace(one, stopping=True) if one.id in leaves else one for one in live]
        surplus = self._weighing.surplus(job, run, going, look) | leaves
        fresh = [one for one in live if one.id in surplus and not one.stopping]
        base = [self._base(run, look)] if run.allocation in vacating else []
        if fresh or base:
            with self._site.commit("growth released") as connection:
                for one in base:
                    allocations.insert(connection, one)
                for one in fresh:
                    allocations.change(connection, one, stopping=True)
                for one in (*fresh, *base):
                    if one.id in vacating:
                        self._say_that_it_leaves(connection, run, one.id, vacating[one.id])
        for one in (*live, *base):
            there = look.at(one.id).state in _THERE
            if there and (one.stopping or one.id in surplus):
                self._stops.release(one.id)
            elif there and run.stop_cause is not None:
                self._stops.overstay(one.id)  # its control.json tells it to stop

    def _base(self, run: RunRecord, look: Look) -> GrowthRecord:
        """What a run began with, as it is remembered until it is over, whatever becomes of this server."""
        now, since = self._site.clock.now(), look.at(run.allocation).since
        workers = workers_of_base(run, look)
        return GrowthRecord(
            run.allocation, run.id, 0, workers, GrowthState.RUNNING, now, stopping=True, started_at=since
        )

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
        if not unasked or self._joining.rests:
            return []
        with self._site.store.read() as connection:
            now = {one.id: one for one in allocations.unended(connection)}
        there = [one for seen in unasked if (one := now.get(seen.id)) is not None]
        return [one for one in there if not (one.stopping or self._joining.rests_for(one.run))]


def _should_grow(run: RunRecord) -> bool:
    return run.state is RunState.RUNNING and run.world_size < run.wanted


def _excess(live: Sequence[GrowthRecord], look: Look, spare: int) -> Collection[str]:
    """Growth that waits beyond the places that there are for it: the newest."""
    waits = [one for one in live if one.state in _WAITS and not one.stopping]
    waits = [one for one in waits if look.at(one.id).state is not AllocationState.RUNNING]
    oldest = sorted(waits, key=lambda one: (one.created_at, one.run, one.number))
    return {one.id for one in oldest[spare:]}
