"""`Weighing`: by how much a run should grow where the engine places it, and what of its growth is too much."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

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
_WAITS = frozenset({GrowthState.CREATED, GrowthState.LAUNCHED})
_GONE = frozenset({AllocationState.ENDED, AllocationState.ABSENT})


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

    def wanted(
        self, job: JobRecord, run: RunRecord, grown: Sequence[GrowthRecord], look: Look
    ) -> Iterator[GrowthRecord]:
        """Allocations by which a run that goes on should grow now."""
        growth = self._site.profile.slurm.growth
        live = [one for one in grown if one.state is not GrowthState.ENDED]
        missing = run.wanted - self._width(job, run, live, look)
        places = 0 if growth is None else growth.at_once - sum(one.state in _WAITS for one in live)
        each = workers_on_a_node(look.capacity, job)
        if min(missing, places, each) <= 0 or look.at(run.allocation).state is AllocationState.UNKNOWN:
            return
        if growth is None or self._rests(grown, growth.rest) or self._is_nearly_over(job, run):
            return
        number = self._next_number(run, grown)
        while missing > 0 and places > 0:
            workers, now = min(each, missing), self._site.clock.now()
            yield GrowthRecord(f"{run.id}.{number}", run.id, number, workers, GrowthState.CREATED, now)
            number, missing, places = number + 1, missing - workers, places - 1

    def forget(self, keep: Collection[str]) -> None:
        """Drop what is remembered of the growth of all runs but these."""
        self._timed = {run: keys for run, keys in self._timed.items() if run in keep}
        self._elapsed.forget({key for keys in self._timed.values() for key in keys})

    def _width(self, job: JobRecord, run: RunRecord, live: Sequence[GrowthRecord], look: Look) -> int:
        """Workers that it has, or will have once all has begun that is on its way."""
        grown = sum(one.workers for one in live if not one.stopping)
        if look.at(run.allocation).state in _GONE:
            return grown  # what it began with is gone, and it goes on without
        joined = sum(one.workers for one in live if one.state is GrowthState.RUNNING)
        return grown + max(job.workers_min, run.world_size - joined)

    def _rests(self, grown: Sequence[GrowthRecord], first: float) -> bool:
        """Whether the newest ones were taken back so soon that it should wait before it grows again.

        Args:
            grown: all that there ever were.
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

    def _is_nearly_over(self, job: JobRecord, run: RunRecord) -> bool:
        growth = self._site.profile.slurm.growth
        with self._site.store.read() as connection:
            expected = expected_of(connection, [job]).get(job.id)
        left = left_now(job, run, expected, self._site.clock.now())
        return growth is not None and left is not None and left.seconds <= growth.least

    def _next_number(self, run: RunRecord, grown: Sequence[GrowthRecord]) -> int:
        """Above every one that the store or, after it was restored from a backup, the disk knows: each is used once."""
        names = (path.stem.rpartition("-")[2] for path in self._site.run_directory(run).path.glob("*-*.json"))
        used = [int(name) for name in names if name.isdecimal()]
        return max([allocations.FIRST - 1, *used, *(one.number for one in grown)]) + 1


def workers_on_a_node(capacity: Capacity, job: JobRecord) -> int:
    """How many workers of a job an empty node holds, by the middle one of all that hold any; 0: none does."""
    rooms = sorted(room for node in capacity.nodes if (room := _room(node, job)) > 0)
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
