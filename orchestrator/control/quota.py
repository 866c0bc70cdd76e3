"""`Quota`: how many places in the engine's queue our allocations may have: runs first, growth what they leave over."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache

from orchestrator.backends.protocol import AllocationState, Observation
from orchestrator.control.facts import Facts
from orchestrator.control.sight import Look
from orchestrator.control.site import Site
from orchestrator.control.terms import Width
from orchestrator.lifecycle.states import RunState
from orchestrator.store import allocations
from orchestrator.store.jobs import OpenJob
from orchestrator.store.records import RunRecord

_KINDS = 4096
_NOTHING = Observation(AllocationState.ABSENT)
_WAITS = frozenset({RunState.CREATED, RunState.LAUNCHED})


class Quota:
    """Counts as the engine does: each task of an array is a job of its own there.

    Args:
        site: its profile says how many places there are.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._most = site.profile.slurm.waiting
        self._arrays: Mapping[str, int] = {}
        self._tasks = 0
        self._lacking = 0

    def spare(self, active: Sequence[RunRecord], look: Look) -> int:
        """Places for growth: those that no run has, and none needs that may start.

        Args:
            active: runs that hold something of the engine.
            look: at the engine.
        """
        self._tasks = sum(look.at(run.allocation).tasks for run in active if run.state not in _WAITS)
        taken = sum(self._arrays.get(run.id, 1) for run in active if run.state in _WAITS)
        return max(0, self._most - taken - self._tasks - self._lacking)

    def fitting(self, ready: Sequence[OpenJob], facts: Facts, most: int) -> Sequence[OpenJob]:
        """Those that are handed over now, in order: nobody passes one that needs more places.

        Args:
            ready: jobs that may start, in order.
            facts: of the queue.
            most: of them.
        """
        wait = {run.id: places_of(run, facts.jobs.get(run.job)) for run in facts.active if run.state in _WAITS}
        self._arrays = {run: places for run, places in wait.items() if places > 1}
        taken = sum(wait.values())
        with self._site.store.read() as connection:
            room = self._most - taken - self._tasks - allocations.waiting(connection)
        sizes = [self._size(job, Width.of(self._site, job).most) for job in ready]
        count, needed = 0, 0
        while count < min(most, len(sizes)) and needed + sizes[count] <= room:
            needed += sizes[count]
            count += 1
        self._lacking = min(self._most, sum(sizes[count:]))
        return ready[:count]

    def _size(self, job: OpenJob, workers: int) -> int:
        """Places of a run; an array with more tasks than there are places has all of them."""
        return min(workers, self._most) if is_array(job) else 1


def places_of(run: RunRecord, job: OpenJob | None, seen: Observation = _NOTHING) -> int:
    """How many places of the engine's queue a run has with what it began with.

    Args:
        run: any.
        job: whose run it is; None: that is not known.
        seen: of what it began with.
    """
    if run.state in _WAITS:
        return run.world_size if job is not None and is_array(job) else 1
    return seen.tasks


def is_array(job: OpenJob) -> bool:
    """Whether each of its workers is a job of the engine's own."""
    return _says_array(job.needs)


@lru_cache(maxsize=_KINDS)
def _says_array(needs: str) -> bool:
    return needs != "{}" and bool(json.loads(needs).get("array", False))
