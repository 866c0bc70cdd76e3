"""Headroom of a run that a person wants wider: what is free and claimed by nobody."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from orchestrator.backends.protocol import Capacity
from orchestrator.control.demands import demand_of, placement_of
from orchestrator.control.facts import Facts
from orchestrator.control.site import Site
from orchestrator.control.snapshot import held_by_others_now, snapshot_of
from orchestrator.scheduling.draft import Draft
from orchestrator.scheduling.room import Room
from orchestrator.scheduling.state import State
from orchestrator.store.records import Placed


@dataclass(frozen=True)
class Headroom:
    """What is free at one instant, in the caller's transaction."""

    facts: Facts
    unclaimed: Room
    at: float

    @classmethod
    def now(cls, connection: Connection, site: Site, capacity: Capacity) -> Headroom:
        """Of store and engine."""
        facts, at = Facts.read(connection), site.clock.now()
        found = snapshot_of(facts, capacity, site.profile, now=at, held_by_others=held_by_others_now(facts, capacity))
        return cls(facts, Draft(State.of(found), site.profile.policy, at).room, at)

    @property
    def free(self) -> int:
        """Slots, on nodes that take work."""
        return max(0, self.unclaimed.free)

    def widened(self, placement: Placed, job: str, workers: int) -> Placed:
        """What a run of this job would hold with `workers`, or with as many as there is room for."""
        held, demand = placement_of(placement) or (), demand_of(self.facts.jobs[job])
        before = sum(count for _, count in held)
        wider = (self.unclaimed.extend(demand, held, count, self.at, self.at) for count in range(workers, before, -1))
        return next((found for found in wider if found is not None), placement)
