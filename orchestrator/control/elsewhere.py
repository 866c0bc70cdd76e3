"""Slots of our nodes that others hold: how many, and who, as far as the engine knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.control.site import Site
from orchestrator.lifecycle.reasons import slots
from orchestrator.scheduling.snapshot import Snapshot


@dataclass(frozen=True)
class Elsewhere:
    """What others hold of one node.

    Attributes:
        node: its name.
        slots: how many.
        total: that the node has.
        kind: of the slots.
        who: in words; empty where the engine does not know.
    """

    node: str
    slots: int
    total: int
    kind: str
    who: str

    @property
    def text(self) -> str:
        """`2 of 4 cpu slots of a are held by another server: j-1 (process 4711)`."""
        held = f"{self.slots} of {slots(self.total, self.kind)} of {self.node} {'is' if self.slots == 1 else 'are'}"
        if self.who:
            return f"{held} held by another server: {self.who}"
        return f"{held} held by others: another server, or a run that has just ended"

    @property
    def remedy(self) -> str:
        """What gives them back."""
        if self.who:
            return f"wait until {self.who} is over; who started it can cancel it, at its own server"
        return f"wait until others have freed their slots of {self.node}"


def elsewhere_of(site: Site, snapshot: Snapshot) -> Mapping[str, Elsewhere]:
    """Nodes of which the snapshot counts fewer slots than the engine has, by name.

    Raises:
        BackendUnavailable: the engine does not say what it has.
    """
    counted = {node.name: node.slots for node in snapshot.nodes}
    capacity, found = site.backend.capacity(), {}
    for node in capacity.nodes:
        missing = node.slots - counted.get(node.name, node.slots)
        if missing > 0:
            who = site.backend.others(node.name)
            found[node.name] = Elsewhere(node.name, missing, node.slots, snapshot.slot_kind, who)
    return found
