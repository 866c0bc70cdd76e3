"""Running jobs without which there would be room for a demand: where the fewest of them are in the way."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.scheduling.cluster import Demand
from orchestrator.scheduling.explain.floor import Free, Spot
from orchestrator.scheduling.explain.scene import Scene
from orchestrator.scheduling.jobs import Running


def staying(scene: Scene) -> list[Running]:
    """Those that run already and go on."""
    found = scene.after.running.values()
    return [r for r in found if not r.stopping and r.job.id in scene.before.running]


def in_the_way(scene: Scene, demand: Demand, until: float) -> list[str]:
    """The jobs that would have to go; empty where that would not help."""
    on: dict[str, list[Running]] = {name: [] for name in scene.floor.nodes}
    for running in sorted(staying(scene), key=lambda r: (-r.slots, r.job.id)):
        for node, _ in running.placement:
            if node in on:
                on[node].append(running)
    ground = _Ground(scene, demand, on)
    largest = scene.floor.count(demand, until).largest
    found = [ground.clear(rack, largest) for rack in scene.floor.racks(demand.constraints, until)]
    return min(filter(None, found), key=len, default=[])


class _Ground:
    """Who lies where."""

    def __init__(self, scene: Scene, demand: Demand, on: dict[str, list[Running]]) -> None:
        self._scene, self._demand, self._on = scene, demand, on

    def clear(self, rack: list[str], largest: int) -> list[str]:
        """Who has to go so that a gang fits on these nodes; empty where it never would."""
        workers = self._demand.workers_min
        if largest == 0:
            return []
        if not self._demand.packed:
            return self._greedily(rack, workers)
        chosen, left = list[str](), list(rack)
        while workers > 0:
            plans = [(plan, name) for name in left if (plan := self._plan(name, min(workers, largest))) is not None]
            if not plans:
                return []
            plan, name = min(plans, key=lambda pair: (len(pair[0]), pair[1]))
            chosen += [job for job in plan if job not in chosen]
            left.remove(name)
            workers -= largest
        return chosen

    def _plan(self, name: str, wanted: int) -> list[str] | None:
        """Jobs on one node, largest first, without which so many workers fit."""
        gone: list[Running] = []
        for running in self._on[name]:
            if self._fits(name, gone) >= wanted:
                break
            gone.append(running)
        return [running.job.id for running in gone] if self._fits(name, gone) >= wanted else None

    def _greedily(self, rack: list[str], workers: int) -> list[str]:
        """Jobs anywhere, largest first."""
        gone: list[Running] = []
        there = {running.job.id: running for name in rack for running in self._on[name]}
        for running in sorted(there.values(), key=lambda r: (-r.slots, r.job.id)):
            if sum(self._fits(name, gone) for name in rack) >= workers:
                break
            gone.append(running)
        return [running.job.id for running in gone]

    def _fits(self, name: str, gone: Iterable[Running]) -> int:
        slots, cpus, memory = self._scene.floor.free[name]
        for running in gone:
            held, demand = dict(running.placement).get(name, 0), running.job.demand
            slots, cpus, memory = slots + held * demand.slots, cpus + held * demand.cpus, memory + held * demand.memory
        return Spot(self._scene.floor.nodes[name], Free(slots, cpus, memory), 1).fits(self._demand)
