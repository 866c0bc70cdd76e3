"""`Weighing`: by how much a run should grow where the engine places it, and what of its growth is too much."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from orchestrator.backends.protocol import AllocationState, Capacity, NodeFacts
from orchestrator.control.measuring import expected_of, left_now
from orchestrator.control.sight import Look
from orchestrator.control.site import Site
from orchestrator.control.timers import Elapsed
from orchestrator.lifecycle.states import GrowthState
from orchestrator.store import allocations
from orchestrator.store.records import GrowthRecord, JobRecord, RunRecord

_QUICK = 120.0
"""Growth that lasts for less cost its run more than it gave."""
_LONGEST_REST = 3600.0
"""Seconds without growth after such ones, at most."""
_REMEMBERED = 16
"""Ended ones of a run that the rest goes by: it doubles with each."""
_WAITS = frozenset({GrowthState.CREATED, GrowthState.LAUNCHED})
_GONE = frozenset({AllocationState.ENDED, AllocationState.ABSENT})


@dataclass(frozen=True)
class Lack:
    """A run with fewer workers than it should have.

    Attributes:
        job: whose run it is.
        run: any.
        workers: that it lacks.
        allocations: that it may ask for at once.
        each: workers that one of them holds.
        used: the highest number of its growth in the store, as far as that was read.
    """

    job: JobRecord
    run: RunRecord
    workers: int
    allocations: int
    each: int
    used: int = 0


class Weighing:
    """Decides; nothing is changed here."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._elapsed = Elapsed(site.clock)
        self._timed: dict[str, set[str]] = {}

    def surplus(self, job: JobRecord, run: RunRecord, grown: Sequence[GrowthRecord], look: Look) -> set[str]:
        """What should leave: of a run that is over all, of one that stops what has not begun, else what is too much.

        What has not begun goes first, then what came last, as far as the rest is as wide as is wanted.
        """
        live = [one for one in grown if one.state is not GrowthState.ENDED]
        if run.state.terminal:
            return {one.id for one in live}
        waits = {one.id for one in live if look.at(one.id).state is AllocationState.PENDING or one.state in _WAITS}
        if run.stop_cause is not None:
            return waits
        have, found = self._width(job, run, live, look), set[str]()
        for one in sorted(live, key=lambda one: (one.id not in waits, -one.number)):
            is_needed = have <= run.wanted if one.id in waits else have - one.workers < run.wanted
            if not (one.stopping or is_needed):
                found.add(one.id)
                have -= one.workers
        return found

    def lack(self, job: JobRecord, run: RunRecord, live: Sequence[GrowthRecord], look: Look) -> Lack | None:
        """What a run that goes on lacks, and could be asked for now."""
        growth = self._site.profile.slurm.growth
        missing = run.wanted - self._width(job, run, live, look)
        allocations = 0 if growth is None else growth.at_once - sum(one.state in _WAITS for one in live)
        if min(missing, allocations) <= 0 or look.at(run.allocation).state is AllocationState.UNKNOWN:
            return None
        if (each := workers_on_a_node(look.capacity, job)) <= 0:
            return None
        return Lack(job, run, missing, allocations, each)

    def ready(self, lacks: Sequence[Lack]) -> list[Lack]:
        """Those of them that should grow now: they do not rest, and are not nearly over."""
        growth = self._site.profile.slurm.growth
        if growth is None or not lacks:
            return []
        with self._site.store.read() as connection:
            past = allocations.of_runs(connection, [lack.run.id for lack in lacks], ended=_REMEMBERED)
            rested = [lack for lack in lacks if not self._rests(past[lack.run.id], growth.rest)]
            expected = expected_of(connection, [lack.job for lack in rested])
        now = self._site.clock.now()
        left = [left_now(lack.job, lack.run, expected.get(lack.job.id), now) for lack in rested]
        goes_on = [seconds is None or seconds.seconds > growth.least for seconds in left]
        return [
            replace(lack, used=max((one.number for one in past[lack.run.id]), default=0))
            for lack, long in zip(rested, goes_on, strict=True)
            if long
        ]

    def growth(self, lack: Lack, places: int) -> list[GrowthRecord]:
        """Allocations by which a run should grow, no more than there are places for in the engine's queue."""
        number, missing, now = self._next_number(lack), lack.workers, self._site.clock.now()
        run, found = lack.run.id, list[GrowthRecord]()
        while missing > 0 and len(found) < min(lack.allocations, places):
            workers = min(lack.each, missing)
            found.append(GrowthRecord(f"{run}.{number}", run, number, workers, GrowthState.CREATED, now))
            number, missing = number + 1, missing - workers
        return found

    def forget(self, keep: Collection[str]) -> None:
        """Drop what is remembered of the growth of all runs but these."""
        self._timed = {run: keys for run, keys in self._timed.items() if run in keep}
        self._elapsed.forget({key for keys in self._timed.values() for key in keys})

    def _width(self, job: JobRecord, run: RunRecord, live: Sequence[GrowthRecord], look: Look) -> int:
        """Workers that it has, or will have once all has begun that is on its way."""
        grown = [one for one in live if one.id != run.allocation]
        stays = sum(one.workers for one in grown if not one.stopping)
        if look.at(run.allocation).state in _GONE or len(grown) < len(live):
            return stays  # what it began with is gone, or about to leave, and it goes on without
        joined = sum(one.workers for one in grown if one.state is GrowthState.RUNNING)
        return stays + max(job.workers_min, run.world_size - joined)

    def _rests(self, grown: Sequence[GrowthRecord], first: float) -> bool:
        """Whether the newest ones were taken back so soon that it should wait before it grows again.

        Args:
            grown: all that is there, and the newest that are over.
            first: seconds to wait after one; they double with each that follows.
        """
        times, last = 0, None
        for one in sorted(grown, key=lambda one: -one.number):
            if one.stopping:
                continue
            began = one.started_at
            if one.state is not GrowthState.ENDED or one.ended_at is None:
                if began is not None and self._since(one, "began", began) >= _QUICK:
                    break
                continue
            if began is not None and one.ended_at - began >= _QUICK:
                break
            times, last = times + 1, last or one
        if last is None or last.ended_at is None:
            return False
        rest = min(_LONGEST_REST, first * 2.0 ** min(times - 1, 30))
        return self._since(last, "ended", last.ended_at) < rest

    def _since(self, growth: GrowthRecord, what: str, wall: float) -> float:
        key = f"{growth.id} {what}"
        self._timed.setdefault(growth.run, set()).add(key)
        return self._elapsed.since(key, wall)

    def _next_number(self, lack: Lack) -> int:
        """Above every one that the store or, after it was restored from a backup, the disk knows: each is used once."""
        names = (path.stem.rpartition("-")[2] for path in self._site.run_directory(lack.run).path.glob("*-*.json"))
        used = [int(name) for name in names if name.isdecimal()]
        return max([allocations.FIRST - 1, lack.used, *used]) + 1


def workers_on_a_node(capacity: Capacity, job: JobRecord) -> int:
    """Workers of a job that growth on an empty node holds, by the middle one of all that hold any; 0: none does."""
    rooms = sorted(room for node in capacity.nodes if node.grows and (room := _room(node, job)) > 0)
    return rooms[(len(rooms) - 1) // 2] if rooms else 0


def _room(node: NodeFacts, job: JobRecord) -> int:
    needs = job.needs
    kinds = {str(kind).casefold() for kind in needs.get("gpu_types", ())}
    if not node.up or node.name in needs.get("not_on", ()) or (kinds and node.gpu_type.casefold() not in kinds):
        return 0
    rooms = [node.slots // job.slots_per_worker] if job.slots_per_worker else [node.cpus // needs.get("cpus", 1)]
    rooms += [node.memory // memory] if (memory := needs.get("memory", 0)) and node.memory else []
    rooms += [node.cpus // cpus] if (cpus := needs.get("cpus", 0)) and node.cpus else []
    return min(rooms)
