"""`Sight`: one look at the engine for all runs and all that they grew by; the newest one is there for other threads."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.backends.protocol import AllocationState, Backend, Capacity, Observation
from orchestrator.base.errors import BackendUnavailable
from orchestrator.control.site import Site
from orchestrator.lifecycle.states import GrowthState, RunState
from orchestrator.store import allocations
from orchestrator.store.records import GrowthRecord, RunRecord

_LOG = logging.getLogger(__name__)

_ABSENT = Observation(AllocationState.ABSENT)
_GONE = frozenset({AllocationState.ENDED, AllocationState.ABSENT})


@dataclass(frozen=True)
class Look:
    """What the engine said at one moment.

    Attributes:
        observed: of each allocation that was asked for.
        capacity: of the engine.
        growth: allocations that are not over, of each run that grew.
        queues: the engine has a queue of its own.
    """

    observed: Mapping[str, Observation]
    capacity: Capacity
    growth: Mapping[str, Sequence[GrowthRecord]] = field(default_factory=dict)
    queues: bool = False

    def at(self, allocation: str) -> Observation:
        """One allocation."""
        return self.observed.get(allocation, _ABSENT)

    def of(self, run: RunRecord) -> Observation:
        """A run: by the allocation that it began with, or, where that is gone, by those that go on without it."""
        base = self.at(run.allocation)
        if base.state not in _GONE:
            return base
        others = [self.at(growth.id) for growth in self.growth.get(run.id, ()) if growth.state is GrowthState.RUNNING]
        alive = [seen for seen in others if seen.state not in _GONE]
        return next((seen for seen in alive if seen.state is AllocationState.RUNNING), alive[0] if alive else base)

    def waits_there(self, run: RunRecord) -> bool:
        """Whether it stands in the engine's own queue, and nothing else is wanted of it."""
        in_order = self.queues and run.state is RunState.LAUNCHED and run.stop_cause is None
        return in_order and self.at(run.allocation).state is AllocationState.PENDING


class Sight:
    """Looks, and keeps what was seen."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._newest: Mapping[str, Observation] = {}
        self._capacity = Capacity(0, 0, 0)
        self._faults: tuple[str, ...] = ()

    def seen(self) -> Mapping[str, Observation]:
        """The newest observation of each allocation that is not over; any thread may ask."""
        return self._newest

    def waited_there(self, run: RunRecord) -> bool:
        """Whether the newest look found it in the engine's own queue: it can have said nothing by then."""
        seen = self._newest.get(run.allocation) if self._site.backend.queues else None
        return seen is not None and seen.state is AllocationState.PENDING and run.state is RunState.LAUNCHED

    def look(self, active: Sequence[RunRecord]) -> Look:
        """One question to the engine for all of them.

        Raises:
            BackendUnavailable: it does not answer.
        """
        growth = self._growth()
        wanted = [run.allocation for run in active] + [one.id for of_run in growth.values() for one in of_run]
        with self._site.engine("observe") as backend:
            self._newest = observed = backend.observe(wanted) if wanted or backend.queues else {}
            self._capacity = self._measured(backend)
        return Look(observed, self._capacity, growth, self._site.backend.queues)

    def _measured(self, backend: Backend) -> Capacity:
        """What there is, or was: an engine that places runs itself, and tells how they are, is not silent."""
        try:
            return self._warned(backend.capacity())
        except BackendUnavailable as error:
            if not backend.queues:
                raise
            _LOG.info("the engine does not tell what it has, so that what it had counts: %s", error.message)
            return self._capacity

    def _warned(self, capacity: Capacity) -> Capacity:
        """What the profile names in vain stands in the server's log, once."""
        for fault in capacity.faults:
            if fault not in self._faults:
                _LOG.warning("%s", fault)
        if self._faults and not capacity.faults:
            _LOG.info("the engine has all that the profile names")
        self._faults = capacity.faults
        return capacity

    def _growth(self) -> Mapping[str, Sequence[GrowthRecord]]:
        if not self._site.backend.queues:
            return {}
        found: dict[str, list[GrowthRecord]] = {}
        with self._site.store.read() as connection:
            for growth in allocations.unended(connection):
                found.setdefault(growth.run, []).append(growth)
        return found
