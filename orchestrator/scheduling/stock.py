"""`Stock`: how many slots, cores and bytes are free on which node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Self

from orchestrator.scheduling.cluster import Demand, Node, Placement
from orchestrator.scheduling.layout import Layout, Part, least_sets

_SHUT = 1 << 40


class Stock:
    """Free slots, cores and memory of each node; changed by `take` and `give`.

    Nodes that are alike are kept in sets by their number of free slots, so that the fullest one that still has room
    is found without looking at the others, and a copy is cheap.
    """

    __slots__ = ("_cpus", "_memory", "_sets", "_slots", "layout")

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._begin(Layout(nodes))

    @classmethod
    def on(cls, layout: Layout) -> Self:
        """All of it is free."""
        stock = cls.__new__(cls)
        stock._begin(layout)
        return stock

    def _begin(self, layout: Layout) -> None:
        self.layout = layout
        self._slots = [node.slots for node in layout.nodes.values()]
        self._cpus = [node.cpus for node in layout.nodes.values()]
        self._memory = [node.memory for node in layout.nodes.values()]
        self._sets = [[0] * (cls.like.slots + 1) for cls in layout.classes]
        for sets, cls in zip(self._sets, layout.classes, strict=True):
            sets[-1] = cls.members

    def copy(self) -> Self:
        """One that can be changed by itself."""
        other = self.__new__(type(self))
        other.layout = self.layout
        other._slots = self._slots.copy()
        counts = self.layout.counts
        other._cpus = self._cpus.copy() if counts else self._cpus
        other._memory = self._memory.copy() if counts else self._memory
        other._sets = [sets.copy() for sets in self._sets]
        return other

    @property
    def free(self) -> int:
        """Slots that are free, on whatever node that is up."""
        return sum(
            free * members.bit_count()
            for sets, cls in zip(self._sets, self.layout.classes, strict=True)
            if cls.like.state == "up"
            for free, members in enumerate(sets)
            if members
        )

    def free_on(self, node: str) -> int:
        """Slots that are free on one node; negative where more is promised than there is."""
        number = self.layout.index.get(node)
        return 0 if number is None else self._slots[number]

    def take(self, placement: Placement, demand: Demand, sign: int = 1) -> None:
        """Mark as used. Nodes that are gone are passed over."""
        index = self.layout.index
        each = sign * demand.slots
        for node, workers in placement:
            if (number := index.get(node)) is not None:
                self._set(number, self._slots[number] - workers * each)
        if self.layout.counts and (demand.cpus or demand.memory):
            for node, workers in placement:
                if (number := index.get(node)) is not None:
                    self._cpus[number] -= sign * workers * demand.cpus
                    self._memory[number] -= sign * workers * demand.memory

    def give(self, placement: Placement, demand: Demand) -> None:
        """Mark as free again."""
        self.take(placement, demand, -1)

    @contextmanager
    def lent(self, placement: Placement, demand: Demand, sign: int = 1) -> Iterator[None]:
        """Inside, this is free; or used, with `sign` -1."""
        self.take(placement, demand, -sign)
        try:
            yield
        finally:
            self.take(placement, demand, sign)

    def shut(self, placement: Placement) -> None:
        """Nothing fits on these nodes any more, whatever is given."""
        for node, _ in placement:
            if (number := self.layout.index.get(node)) is not None:
                self._set(number, self._slots[number] - _SHUT)

    def _set(self, number: int, free: int) -> None:
        before, layout = self._slots[number], self.layout
        self._slots[number] = free
        sets = self._sets[layout.class_of[number]]
        top = len(sets) - 1
        was = before if 0 <= before <= top else (0 if before < 0 else top)
        now = free if 0 <= free <= top else (0 if free < 0 else top)
        if was != now:
            bit = layout.bits[number]
            sets[was] ^= bit
            sets[now] |= bit

    def lower(self, free: Mapping[str, int]) -> None:
        """No more than so many slots are free on these nodes."""
        for node, slots in free.items():
            number = self.layout.index[node]
            if slots < self._slots[number]:
                self._set(number, slots)

    def count(self, part: Part, slots: int) -> int:
        """Nodes of a part on which so many slots are free at least."""
        return sum((those & part.members).bit_count() for those in self._sets[part.cls][slots:])

    def cap(self, other: Stock, placement: Placement) -> None:
        """On these nodes no more is free than in `other`."""
        for node, _ in placement:
            if (number := self.layout.index.get(node)) is not None:
                self._cap(other, number)

    def _cap(self, other: Stock, number: int) -> None:
        if other._slots[number] < self._slots[number]:
            self._set(number, other._slots[number])
        if self.layout.counts:
            self._cpus[number] = min(self._cpus[number], other._cpus[number])
            self._memory[number] = min(self._memory[number], other._memory[number])

    def least(self, other: Stock) -> Self:
        """Of each node what is free in both; they are of one layout."""
        both = self.__new__(type(self))
        both.layout = self.layout
        both._slots = list(map(min, self._slots, other._slots))
        both._cpus = list(map(min, self._cpus, other._cpus)) if self.layout.counts else self._cpus
        both._memory = list(map(min, self._memory, other._memory)) if self.layout.counts else self._memory
        both._sets = [least_sets(*pair) for pair in zip(self._sets, other._sets, strict=True)]
        return both

    def holds(self, placement: Placement, demand: Demand) -> bool:
        """Whether this very placement is free."""
        index = self.layout.index
        return all(
            (number := index.get(node)) is not None and self._fits(number, demand) >= workers
            for node, workers in placement
        )

    def _fits(self, number: int, demand: Demand) -> int:
        most = self._slots[number] // demand.slots
        if self.layout.counts and (demand.cpus or demand.memory):
            node = self.layout.nodes[self.layout.names[number]]
            if demand.cpus and node.cpus:
                most = min(most, self._cpus[number] // demand.cpus)
            if demand.memory and node.memory:
                most = min(most, self._memory[number] // demand.memory)
        return most
