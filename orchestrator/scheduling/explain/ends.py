"""When running jobs should be over by what is known of them, and so when there should be room for a demand."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from orchestrator.scheduling.cluster import Constraints, Demand, Placement, workers_of
from orchestrator.scheduling.expected import expected_end, expected_seconds
from orchestrator.scheduling.explain.floor import Floor
from orchestrator.scheduling.jobs import Job, Running


def claimed_end(owner: Job, now: float) -> float:
    """When a job that starts as soon as its room is free should be over; infinite where nobody has an idea."""
    workers = workers_of(owner.claim or ())
    return now + min(expected_seconds(job, workers) for job in _by_limit_and_estimate(owner))


def likely_end(running: Running, now: float) -> float:
    """When a running job should be over: by our estimate where there is one, by its limit at the latest."""
    return min(expected_end(replace(running, job=job), now) for job in _by_limit_and_estimate(running.job))


def by_limit(job: Job) -> bool:
    """Whether its limit is all that is known of how long it takes."""
    return job.estimate is None and job.limit is not None


def _by_limit_and_estimate(job: Job) -> list[Job]:
    return [job] if job.estimate is None or job.limit is None else [job, replace(job, limit=None)]


class RunEnd(NamedTuple):
    """When a running job should be over.

    Attributes:
        running: the job.
        at: seconds since the epoch; infinite where nobody knows.
        by_limit: its limit is all that is known.
    """

    running: Running
    at: float
    by_limit: bool = False


class Opening(NamedTuple):
    """Room that comes by itself.

    Attributes:
        at: seconds since the epoch.
        jobs: that should be over by then, first to last, and so give it.
        slots: that they give.
        latest: by the limit of the last one, as nobody has an idea how long it takes.
    """

    at: float
    jobs: tuple[str, ...]
    slots: int
    latest: bool = False


class _End(NamedTuple):
    at: float
    job: str
    slots: int
    by_limit: bool


class _Rack(NamedTuple):
    """Which nodes: those that are accepted until then, and which of their racks."""

    wants: Constraints
    until: float
    number: int


class Ends:
    """Ends of the jobs that run, by node; those that were asked to stop give their room to jobs that claim it."""

    def __init__(self, floor: Floor, running: Iterable[RunEnd], claiming: Iterable[Job], now: float) -> None:
        self._floor, self._now = floor, now
        self._known: dict[tuple[_Rack, int | None], list[tuple[float, str]]] = {}
        self._on: dict[str, list[_End]] = {name: [] for name in floor.nodes}
        for run, at, limited in running:
            self._add(at, run.job, run.placement if run.keeps is None else run.keeps, limited)
        for owner in claiming:
            self._add(claimed_end(owner, now), owner, owner.claim or (), by_limit(owner))
        for ends in self._on.values():
            ends.sort()

    def _add(self, at: float, job: Job, placement: Placement, limited: bool) -> None:
        for node, workers in placement:
            if node in self._on:
                self._on[node].append(_End(at, job.id, workers * job.demand.slots, limited))

    def opening(self, demand: Demand, until: float) -> Opening | None:
        """The earliest room for the fewest workers of a demand, if nobody takes it before; None: nobody knows.

        Args:
            demand: that waits; only its slots are looked at, not cores and memory.
            until: as the floor's horizon has it.
        """
        largest = self._floor.count(demand, until).largest
        racks = self._floor.racks(demand.constraints, until)
        found = [self._in(_Rack(demand.constraints, until, i), rack, demand, largest) for i, rack in enumerate(racks)]
        best = min((o for o in found if o is not None), key=lambda o: o.at, default=None)
        return None if best is None or math.isinf(best.at) else best

    def _in(self, key: _Rack, rack: list[str], demand: Demand, largest: int) -> Opening | None:
        wanted = demand.workers_min * demand.slots
        if not demand.packed:
            return self._anywhere(rack, demand)
        if demand.workers_min <= largest:
            return self._sum([(at, name, wanted) for at, name in self._times(key, rack, wanted)[:1]])
        return self._wholes(key, rack, wanted)

    def _wholes(self, key: _Rack, rack: list[str], wanted: int) -> Opening | None:
        """Whole nodes as they come free, and a last one for the rest."""
        sizes, chosen = self._floor.nodes, []
        for at, name in self._times(key, rack, None):
            if wanted < sizes[name].slots:
                break
            chosen.append((at, name, sizes[name].slots))
            wanted -= sizes[name].slots
        if wanted > 0:
            taken = {name for _, name, _ in chosen}
            rest = ((at, name, wanted) for at, name in self._times(key, rack, wanted) if name not in taken)
            chosen.append(next(rest, (math.inf, "", 0)))
        return self._sum(chosen)

    def _times(self, key: _Rack, rack: list[str], wanted: int | None) -> list[tuple[float, str]]:
        """When so many slots are free on each node (None: all of its own), earliest first."""
        if (key, wanted) not in self._known:
            sizes = self._floor.nodes
            times = [(self._when(name, sizes[name].slots if wanted is None else wanted), name) for name in rack]
            self._known[key, wanted] = sorted(times)
        return self._known[key, wanted]

    def _anywhere(self, rack: list[str], demand: Demand) -> Opening | None:
        left = {name: self._floor.free[name].slots for name in rack}
        missing = demand.workers_min - sum(max(0, free) // demand.slots for free in left.values())
        ended: list[_End] = []
        for end, name in sorted((end, node) for node in rack for end in self._on[node]):
            if missing <= 0 or math.isinf(end.at):
                break
            before = max(0, left[name]) // demand.slots
            left[name] += end.slots
            missing -= max(0, left[name]) // demand.slots - before
            ended.append(end)
        return None if missing > 0 else _opening(ended, self._now)

    def _when(self, name: str, wanted: int) -> float:
        free = self._floor.free[name].slots
        if free >= wanted:
            return self._now
        for end in self._on[name]:
            free += end.slots
            if free >= wanted:
                return end.at
        return math.inf

    def _sum(self, chosen: list[tuple[float, str, int]]) -> Opening | None:
        if not chosen or any(math.isinf(at) for at, _, _ in chosen):
            return None
        ended: list[_End] = []
        for at, name, wanted in chosen:
            missing = wanted - self._floor.free[name].slots
            for end in self._on[name]:
                if end.at > at or missing <= 0:
                    break
                ended.append(end)
                missing -= end.slots
        return _opening(sorted(ended), self._now)


def _opening(ended: list[_End], now: float) -> Opening:
    at = max((end.at for end in ended), default=now)
    jobs = tuple(dict.fromkeys(end.job for end in ended))
    return Opening(at, jobs, sum(end.slots for end in ended), any(end.by_limit for end in ended if end.at == at))
