"""`Layout`: the nodes of a cluster in order of their names, which of them are alike, and which a demand accepts.

A set of nodes is an integer with a bit for each: unions, intersections and the first of a set cost next to nothing,
and copies are free.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator.scheduling.cluster import Demand, Node, Window

_LATELY = 4096
"""So many demands are recognised without comparing them."""


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


def bits(members: int) -> Iterator[int]:
    """The members of a set, ascending."""
    while members:
        lowest = members & -members
        yield lowest.bit_length() - 1
        members ^= lowest


@dataclass(frozen=True, slots=True)
class Class:
    """Nodes that differ in nothing but name and rack.

    Attributes:
        like: one of them.
        members: all of them.
    """

    like: Node
    members: int


@dataclass(frozen=True, slots=True)
class Part:
    """Nodes of one class that a demand accepts.

    Attributes:
        cls: number of the class.
        members: those that are accepted.
        slots: of each node.
        capacity: workers that each holds when it is empty.
        counted: whether cores or memory may be short where slots are not.
        windows: of maintenance.
    """

    cls: int
    members: int
    slots: int
    capacity: int
    counted: bool
    windows: tuple[Window, ...]

    def open(self, now: float, until: float) -> bool:
        """Whether workers may start there now and stay until then."""
        return not any(window.start < until and now < window.end for window in self.windows)


@dataclass(frozen=True, slots=True)
class Shape:
    """The nodes that a demand accepts, at least one of whose workers fits on each.

    Attributes:
        parts: those with the largest capacity first; by rack where all workers must lie in one rack.
        most: workers on one node, for each group of parts.
        windows: whether any has maintenance ahead.
        holds: the most workers that fit, were all of them empty and without maintenance.
        alike: whether an empty node holds as many workers as any other.
        simple: the only part, where the demand is packed and nothing but slots counts.
        nested: whether a gang fits wherever a larger one does. Where nodes differ it may not: 24 workers may fit on
            three nodes, while 16 belong on a larger one; and not even the same gang, if that one is about to go into
            maintenance.
        even: whether a gang might start wherever a larger one might, as far as its slots go.
    """

    parts: tuple[tuple[Part, ...], ...]
    most: tuple[int, ...]
    windows: bool
    holds: int
    alike: bool
    simple: Part | None
    nested: bool
    even: bool


class Layout:
    """Immutable, whatever it remembers; shared by all rooms over the same nodes.

    Attributes:
        nodes: by name, in order.
        names: of the nodes, in order.
        index: of each name.
        classes: of nodes that are alike.
        class_of: each node's class.
        counts: whether any node counts cores or memory.
        bits: the set of each node alone.
        slots: of all nodes, up or not.
        begins: times at which maintenance begins, ascending.
        edges: times at which maintenance ends, ascending.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        ordered = sorted(nodes, key=lambda node: node.name)
        self.nodes = {node.name: node for node in ordered}
        self.names = list(self.nodes)
        self.index = {name: number for number, name in enumerate(self.names)}
        found: dict[tuple[object, ...], int] = {}
        members: list[int] = []
        likes: list[Node] = []
        self.class_of: list[int] = []
        for number, node in enumerate(self.nodes.values()):
            key = (node.slots, node.gpu_type, node.cpus, node.memory, node.state, node.windows)
            if (cls := found.setdefault(key, len(found))) == len(members):
                members.append(0)
                likes.append(node)
            members[cls] |= 1 << number
            self.class_of.append(cls)
        self.classes = [Class(like, those) for like, those in zip(likes, members, strict=True)]
        self.counts = any(node.cpus or node.memory for node in likes)
        self.begins = sorted({w.start for node in likes for w in node.windows})
        self.edges = sorted({w.end for node in likes for w in node.windows if w.end < math.inf})
        self.slots = sum(node.slots for node in ordered)
        self.bits = [1 << number for number in range(len(self.names))]
        self._shapes: dict[Demand, Shape] = {}
        self._lately: dict[int, tuple[Demand, Shape]] = {}

    def shape(self, demand: Demand) -> Shape:
        """What a demand accepts, windows of maintenance aside."""
        lately = self._lately.get(id(demand))
        if lately is not None and lately[0] is demand:
            return lately[1]
        if (found := self._shapes.get(demand)) is None:
            found = self._shapes[demand] = self._shape(demand)
        if len(self._lately) >= _LATELY:
            self._lately.clear()
        self._lately[id(demand)] = (demand, found)
        return found

    def possible(self, demand: Demand) -> bool:
        """Whether its fewest workers fit on the nodes that are up, were all of them empty and without maintenance."""
        return self.shape(demand).holds >= demand.workers_min

    def _shape(self, demand: Demand) -> Shape:
        never = 0
        for name in demand.constraints.not_on:
            if (number := self.index.get(name)) is not None:
                never |= 1 << number
        parts = []
        for number, cls in enumerate(self.classes):
            node, members = cls.like, cls.members & ~never
            types = demand.constraints.gpu_types
            fits = capacity(node, demand)
            if node.state != "up" or not members or fits < 1 or (types and node.gpu_type not in types):
                continue
            counted = bool((demand.cpus and node.cpus) or (demand.memory and node.memory))
            parts.append(Part(number, members, node.slots, fits, counted, node.windows))
        parts.sort(key=lambda part: -part.capacity)
        groups = self._by_rack(parts) if demand.constraints.same_rack else [tuple(parts)] if parts else []
        holds = (sum(part.capacity * part.members.bit_count() for part in group) for group in groups)
        simple = demand.packed and len(parts) == len(groups) == 1 and not (parts[0].counted or parts[0].windows)
        windows, alike = any(part.windows for part in parts), len({part.capacity for part in parts}) <= 1
        rigid = demand.workers_min == demand.workers_max
        return Shape(
            tuple(groups),
            tuple(group[0].capacity for group in groups),
            windows=windows,
            holds=max(holds, default=0),
            alike=alike,
            simple=parts[0] if simple else None,
            nested=simple or (rigid and not windows) or (alike and not any(part.counted for part in parts)),
            even=alike or rigid,
        )

    def _by_rack(self, parts: list[Part]) -> list[tuple[Part, ...]]:
        racks: dict[str, int] = {}
        for number, node in enumerate(self.nodes.values()):
            racks[node.rack] = racks.get(node.rack, 0) | 1 << number
        groups = []
        for _, members in sorted(racks.items()):
            inside = [
                Part(p.cls, p.members & members, p.slots, p.capacity, p.counted, p.windows)
                for p in parts
                if p.members & members
            ]
            if inside:
                groups.append(tuple(inside))
        return groups


def least_sets(one: list[int], other: list[int]) -> list[int]:
    """Sets of nodes by what is free in both: those with at least so many in both, less those with more."""
    here = there = above = 0
    found = [0] * len(one)
    for free in range(len(one) - 1, -1, -1):
        here |= one[free]
        there |= other[free]
        both = here & there
        found[free] = both & ~above
        above = both
    return found
