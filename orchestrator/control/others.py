"""Slots of our nodes that others hold: how many, by whom as far as the engine knows, and what waits for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from orchestrator.backends.protocol import Backend, Capacity, Others
from orchestrator.lifecycle.reasons import Waiting, slots
from orchestrator.planning.outlook import Outlook
from orchestrator.scheduling.explain.floor import Floor
from orchestrator.scheduling.state import State


@dataclass(frozen=True)
class HeldByOthers:
    """What others hold of one node.

    Attributes:
        node: its name.
        slots: how many.
        total: that the node has.
        kind: of the slots.
        who: they are.
    """

    node: str
    slots: int
    total: int
    kind: str
    who: Others

    @property
    def text(self) -> str:
        """`2 of 4 cpu slots of a are held by another server: j-1 (process 4711, runs under /state/runs)`."""
        held = f"{self.slots} of {slots(self.total, self.kind)} of {self.node} {'is' if self.slots == 1 else 'are'}"
        known = [f"by another server: {self.who.jobs}"] if self.who.jobs else []
        known += [f"by other processes of this machine: {self.who.programs}"] if self.who.programs else []
        known += [f"by {self.who.users}"] if self.who.users else []
        return f"{held} held {', and '.join(known) or 'by others: another server, or a run that has just ended'}"

    @property
    def remedy(self) -> str:
        """What gives them back."""
        if self.who.jobs:
            return f"wait until {self.who.jobs} is over; who started it can cancel it, at its own server"
        if self.who.programs:
            return f"wait until {self.who.programs} has ended"
        return f"wait until others have freed their slots of {self.node}"


class Withheld:
    """What others hold of all nodes, and what it keeps from starting.

    Args:
        outlook: of the queue, without these slots.
        capacity: that its snapshot was taken of.
        backend: knows who the others are.

    Attributes:
        nodes: of which others hold slots, by name.
    """

    def __init__(self, outlook: Outlook, capacity: Capacity, backend: Backend) -> None:
        self._outlook = outlook
        snapshot, found = outlook.snapshot, dict[str, HeldByOthers]()
        counted = {node.name: node.slots for node in snapshot.nodes}
        for node in capacity.nodes:
            missing = node.slots - counted.get(node.name, node.slots)
            if missing > 0:
                held = HeldByOthers(node.name, missing, node.slots, snapshot.slot_kind, backend.others(node.name))
                found[node.name] = held
        self.nodes: Mapping[str, HeldByOthers] = found

    @property
    def texts(self) -> list[str]:
        """A sentence for each node."""
        return [held.text for held in self.nodes.values()]

    def keeps(self, job: str) -> bool:
        """Whether a waiting job is too large for what is ours, and would not be with what others hold."""
        if not self.nodes or self._outlook.reason(job).kind is not Waiting.TOO_LARGE:
            return False
        demand, most = self._outlook.pending[job].demand, self._outlook.snapshot.max_workers
        return (most is None or demand.workers_min <= most) and self._whole.count(demand, 0.0).enough

    @cached_property
    def _whole(self) -> Floor:
        """All nodes with all their slots, were nobody on them."""
        snapshot = self._outlook.snapshot
        totals = {name: held.total for name, held in self.nodes.items()}
        nodes = tuple(
            replace(node, state="up", windows=(), slots=totals.get(node.name, node.slots)) for node in snapshot.nodes
        )
        return Floor.of(State.of(replace(snapshot, nodes=nodes, pending=(), running=())), snapshot.now)
