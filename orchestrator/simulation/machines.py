"""What happens to nodes: failures and repairs drawn from a seed, drains, and the state that follows from both."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from orchestrator.base.errors import UsageError
from orchestrator.scheduling.cluster import Node
from orchestrator.simulation.truth import Drain, Faults

_SHOWN = 3
_AWAY = frozenset({"down", "absent"})


class Machines:
    """The nodes of a simulated cluster.

    Attributes:
        nodes: by name, as they are now.
        capacity: slots of those that are not down.
    """

    def __init__(self, nodes: Sequence[Node], faults: Faults | None) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.capacity = sum(node.slots for node in nodes if node.state not in _AWAY)
        self._faults = faults
        self._dice = {n.name: random.Random(f"{faults.seed}/{n.name}") for n in nodes} if faults is not None else {}
        self._drained: dict[str, int] = {}

    def first_failures(self, now: float) -> list[tuple[float, str]]:
        """When each node fails for the first time."""
        return [(now + self._draw(name, failing=True), name) for name in self._dice]

    def fail(self, name: str) -> tuple[Node, float]:
        """It goes down; the seconds until it is repaired."""
        node = self.nodes[name]
        if node.state not in _AWAY:
            self.capacity -= node.slots
        return self._become(name, down=True), self._draw(name, failing=False)

    def repair(self, name: str) -> tuple[Node, float]:
        """It comes up again; the seconds until it fails again."""
        self.capacity += self.nodes[name].slots
        return self._become(name, down=False), self._draw(name, failing=True)

    def drain(self, name: str, more: int) -> Node:
        """One drain more begins (1) or ends (-1)."""
        self._drained[name] = self._drained.get(name, 0) + more
        return self._become(name, down=self.nodes[name].state in _AWAY)

    def _become(self, name: str, *, down: bool) -> Node:
        state: Literal["up", "drained", "down"] = "down" if down else "drained" if self._drained.get(name) else "up"
        self.nodes[name] = replace(self.nodes[name], state=state)
        return self.nodes[name]

    def _draw(self, name: str, *, failing: bool) -> float:
        assert self._faults is not None
        return self._dice[name].expovariate(1 / (self._faults.mtbf if failing else self._faults.mttr))


def check_drains(drains: Sequence[Drain], nodes: Sequence[Node]) -> None:
    """Refuse drains of nodes that are not there.

    Raises:
        UsageError: with the name.
    """
    known = [node.name for node in nodes]
    for drain in drains:
        if drain.node not in known:
            shown = [*known[:_SHOWN], "…", known[-1]] if len(known) > _SHOWN + 1 else known
            raise UsageError(
                f"a drain names the node {drain.node!r}, which the cluster does not have",
                hint=f"its nodes are {', '.join(shown)}",
            )
