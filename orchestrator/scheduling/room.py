"""`Room`: what is free on which node, and where a gang fits."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.scheduling.cluster import Demand, Node, Placement, Share, workers_of


class Room:
    """Free slots, cores and memory of each node; changed by `take` and `give`."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._nodes = {node.name: node for node in sorted(nodes, key=lambda n: n.name)}
        self._slots = {name: node.slots for name, node in self._nodes.items()}
        self._cpus = {name: node.cpus for name, node in self._nodes.items()}
        self._memory = {name: node.memory for name, node in self._nodes.items()}

    def copy(self) -> Room:
        """One that can be changed by itself."""
        other = Room.__new__(Room)
        other._nodes = self._nodes
        other._slots, other._cpus, other._memory = dict(self._slots), dict(self._cpus), dict(self._memory)
        return other

    @property
    def free(self) -> int:
        """Slots that are free, on whatever node that is up."""
        return sum(max(0, free) for name, free in self._slots.items() if self._nodes[name].state == "up")

    def free_on(self, node: str) -> int:
        """Slots that are free on one node; negative where more is promised than there is."""
        return self._slots.get(node, 0)

    def take(self, placement: Placement, demand: Demand, sign: int = 1) -> None:
        """Mark as used. Nodes that are gone are passed over."""
        for node, workers in placement:
            if node in self._nodes:
                self._slots[node] -= sign * workers * demand.slots
                self._cpus[node] -= sign * workers * demand.cpus
                self._memory[node] -= sign * workers * demand.memory

    def give(self, placement: Placement, demand: Demand) -> None:
        """Mark as free again."""
        self.take(placement, demand, -1)

    def holds(self, placement: Placement, demand: Demand) -> bool:
        """Whether this very placement is free."""
        return all(self._fits(node, demand) >= workers for node, workers in placement)

    def fit(self, demand: Demand, workers: int, now: float, until: float) -> Placement | None:
        """Where a gang of so many workers fits; None where it does not.

        Args:
            demand: what it needs.
            workers: its width.
            now: nothing starts in a window of maintenance,
            until: and nothing runs into one.
        """
        names = [name for name, node in self._nodes.items() if usable(node, demand, now, until)]
        if demand.constraints.same_rack:
            racks: dict[str, list[str]] = {}
            for name in names:
                racks.setdefault(self._nodes[name].rack, []).append(name)
            found = (self._place(racks[rack], demand, workers) for rack in sorted(racks))
            return next((placement for placement in found if placement), None)
        return self._place(names, demand, workers)

    def extend(self, demand: Demand, held: Placement, workers: int, now: float, until: float) -> Placement | None:
        """All of `held`, and as many more as make `workers`; None where they do not fit.

        A packed gang fills the nodes that it has, and gets further ones only where those are wholly its own.
        """
        shares, rest = dict(held), workers - workers_of(held)
        for name in sorted(shares):
            node = self._nodes.get(name)
            if node is None or not usable(node, demand, now, until):
                return None
            fits = max(0, min(rest, self._fits(name, demand)))
            shares[name] += fits
            rest -= fits
            if demand.packed and rest and shares[name] < capacity(node, demand):
                return None
        if rest:
            racks = {self._nodes[name].rack for name in shares} if demand.constraints.same_rack else None
            names = (
                name
                for name, node in self._nodes.items()
                if name not in shares and usable(node, demand, now, until) and (racks is None or node.rack in racks)
            )
            more = self._whole(names, demand, rest) if demand.packed else self._scattered(list(names), demand, rest)
            if more is None:
                return None
            shares.update(more)
        return tuple(sorted(Share(name, count) for name, count in shares.items()))

    def _whole(self, names: Iterable[str], demand: Demand, workers: int) -> Placement | None:
        return self._fill([name for name in names if self._slots[name] == self._nodes[name].slots], demand, workers)

    def _place(self, names: list[str], demand: Demand, workers: int) -> Placement | None:
        if not demand.packed:
            return self._scattered(names, demand, workers)
        most = max((capacity(self._nodes[name], demand) for name in names), default=0)
        if workers <= most:
            fitting = [(self._slots[name], name) for name in names if self._fits(name, demand) >= workers]
            return (Share(min(fitting)[1], workers),) if fitting else None
        return self._whole(names, demand, workers)

    def _scattered(self, names: list[str], demand: Demand, workers: int) -> Placement | None:
        return self._fill(sorted(names, key=lambda name: (-self._fits(name, demand), name)), demand, workers)

    def _fill(self, names: Iterable[str], demand: Demand, workers: int) -> Placement | None:
        shares: list[Share] = []
        for name in names:
            if (fits := min(workers, self._fits(name, demand))) > 0:
                shares.append(Share(name, fits))
                workers -= fits
            if workers == 0:
                return tuple(sorted(shares))
        return None

    def _fits(self, name: str, demand: Demand) -> int:
        node = self._nodes.get(name)
        if node is None:
            return 0
        most = self._slots[name] // demand.slots
        if demand.cpus and node.cpus:
            most = min(most, self._cpus[name] // demand.cpus)
        if demand.memory and node.memory:
            most = min(most, self._memory[name] // demand.memory)
        return most

    def least(self, other: Room) -> Room:
        """Of each node what is free in both."""
        both = self.copy()
        for mine, theirs in ((both._slots, other._slots), (both._cpus, other._cpus), (both._memory, other._memory)):
            for name, free in theirs.items():
                mine[name] = min(mine[name], free)
        return both


def capacity(node: Node, demand: Demand) -> int:
    """Workers that an empty node holds."""
    most = node.slots // demand.slots
    if demand.cpus and node.cpus:
        most = min(most, node.cpus // demand.cpus)
    if demand.memory and node.memory:
        most = min(most, node.memory // demand.memory)
    return most


def usable(node: Node, demand: Demand, now: float, until: float) -> bool:
    """Whether workers of this demand may start on a node now and stay `until` then, room aside."""
    wants = demand.constraints
    if node.state != "up" or node.name in wants.not_on:
        return False
    if wants.gpu_types and node.gpu_type not in wants.gpu_types:
        return False
    return not any(window.start < until and now < window.end for window in node.windows)
