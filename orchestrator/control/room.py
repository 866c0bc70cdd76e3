"""Room for a run that a person wants wider: what is free and claimed by nobody, node by node."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from orchestrator.backends.protocol import Capacity
from orchestrator.control.demands import demand_of
from orchestrator.control.facts import Facts
from orchestrator.control.site import Site
from orchestrator.control.snapshot import foreign_now, snapshot_of
from orchestrator.scheduling.cluster import Share
from orchestrator.scheduling.room import usable
from orchestrator.scheduling.state import State
from orchestrator.store import jobs
from orchestrator.store.records import JobRecord, Placed


@dataclass(frozen=True)
class Room:
    """What is free at one instant, in the caller's transaction."""

    state: State
    connection: Connection
    at: float

    @classmethod
    def now(cls, connection: Connection, site: Site, capacity: Capacity) -> Room:
        """Of store and engine."""
        facts, at = Facts.read(connection), site.clock.now()
        found = snapshot_of(facts, capacity, site.profile, now=at, foreign=foreign_now(facts, capacity))
        return cls(State.of(found), connection, at)

    @property
    def free(self) -> int:
        """Slots that nobody holds or claims, on nodes that take work."""
        return max(0, self.state.room(self.at).free)

    def widened(self, placement: Placed, job: JobRecord, workers: int) -> Placed:
        """A placement with up to `workers`: first on the nodes that it has, then on those with most room."""
        room, shares = self.state.room(self.at), dict(placement)
        demand = demand_of(jobs.open_job(self.connection, job.id))
        nodes = [node for node in self.state.nodes.values() if usable(node, demand, self.at, self.at)]
        for node in sorted(nodes, key=lambda n: (n.name not in shares, -room.free_on(n.name), n.name)):
            missing = workers - sum(shares.values())
            more = min(missing, max(0, room.free_on(node.name)) // demand.slots)
            while more > 0 and not room.holds((Share(node.name, more),), demand):
                more -= 1
            if more > 0:
                shares[node.name] = shares.get(node.name, 0) + more
        return tuple(shares.items())
