"""`Vacating`: what of a run leaves nodes that are drained, so that they become free, where the rest is wide enough."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from orchestrator.backends.protocol import AllocationState, Capacity
from orchestrator.base.clock import Clock
from orchestrator.control.sight import Look
from orchestrator.store.records import GrowthRecord, JobRecord, RunRecord


class Vacating:
    """Remembers since when nodes are drained: what began later shows that they are not, and the count is old.

    Args:
        clock: what time it is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: Mapping[str, float] = {}

    def see(self, capacity: Capacity) -> None:
        """What the engine has now."""
        now = self._clock.now()
        self._since = {node.name: self._since.get(node.name, now) for node in capacity.nodes if node.drained}

    def of(self, job: JobRecord, run: RunRecord, live: Sequence[GrowthRecord], look: Look) -> Mapping[str, str]:
        """Allocations that should leave, and why: all their nodes are drained, and at least the fewest workers stay.

        Growth goes before what the run began with, and of growth what came last. An allocation on several nodes stays
        while one of them is good: an engine gets none of them back before the last.

        Args:
            job: whose run it is.
            run: any.
            live: its growth that is not over, and what it began with where that was asked to leave.
            look: at the engine.
        """
        if not self._since or not job.elastic or run.state.terminal or run.stop_cause is not None:
            return {}
        notes = {node.name: node.note for node in look.capacity.nodes}
        has, found = _workers(run, live, look), dict[str, str]()
        stays = min(run.world_size, sum(has.values()))  # by its own word, and by the engine's: either may be late
        for allocation, workers in has.items():
            if (why := self._why(allocation, notes, look)) and stays - workers >= job.workers_min:
                found[allocation] = why
                stays -= workers
        return found

    def _why(self, allocation: str, notes: Mapping[str, str], look: Look) -> str:
        """Why one should leave; empty: it need not."""
        seen = look.at(allocation)
        began = seen.since or 0.0
        if not seen.nodes or not all(began <= self._since.get(node, -math.inf) for node in seen.nodes):
            return ""
        return "; ".join(f"{node} is {notes[node]}" for node in seen.nodes)


def workers_of_base(run: RunRecord, look: Look) -> int:
    """Workers on the nodes that a run began with.

    Too many where growth lies there as well, which keeps it there for longer.
    """
    nodes = look.at(run.allocation).nodes
    return sum(workers for node, workers in run.placement if node in nodes) or run.world_size


def _workers(run: RunRecord, live: Sequence[GrowthRecord], look: Look) -> Mapping[str, int]:
    """Of each allocation that runs and stays so far: the newest first, what it began with last."""
    grown = sorted((one for one in live if not one.stopping), key=lambda one: -one.number)
    has = {one.id: one.workers for one in grown}
    if all(one.id != run.allocation for one in live):
        has[run.allocation] = workers_of_base(run, look)
    return {name: workers for name, workers in has.items() if look.at(name).state is AllocationState.RUNNING}
