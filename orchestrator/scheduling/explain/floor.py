"""`Floor`: what is free on each node once a decision is carried out, counted by demand."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from orchestrator.scheduling.cluster import Constraints, Demand, Node, Placement
from orchestrator.scheduling.room import capacity, usable
from orchestrator.scheduling.state import State


class Free(NamedTuple):
    """Of one node; negative where more is promised than there is."""

    slots: int
    cpus: int
    memory: int


class Spot(NamedTuple):
    """Nodes that are alike for a demand.

    Attributes:
        node: the first of them by name.
        free: on each.
        copies: how many there are.
    """

    node: Node
    free: Free
    copies: int

    @property
    def empty(self) -> bool:
        """Whether nobody holds a slot of them."""
        return self.free.slots == self.node.slots

    def fits(self, demand: Demand) -> int:
        """Workers that fit on each as it is."""
        most = self.free.slots // demand.slots
        if demand.cpus and self.node.cpus:
            most = min(most, self.free.cpus // demand.cpus)
        if demand.memory and self.node.memory:
            most = min(most, self.free.memory // demand.memory)
        return max(0, most)


class Count(NamedTuple):
    """How a demand stands on the nodes that it accepts.

    Attributes:
        nodes: how many there are.
        free: slots that are free on them.
        size: slots of the largest of them.
        largest: most workers that any of them could hold, were it empty.
        fitting: workers that fit on them as they are, wherever each lies.
        best: where the most workers fit on one node, and how many.
        whole: how many of the nodes are empty.
        together: slots that are free in one rack at most, where all workers must lie in one; else as `free`.
        enough: whether its fewest workers fit as it wants them.
    """

    nodes: int
    free: int
    size: int
    largest: int
    fitting: int
    best: tuple[str, int]
    whole: int
    together: int
    enough: bool


class Floor:
    """Free slots, cores and memory of each node.

    Attributes:
        nodes: by name.
        free: of each node, without what is claimed.
        windows: whether any of them has maintenance ahead.
    """

    def __init__(self, nodes: Mapping[str, Node], free: Mapping[str, Free], now: float) -> None:
        self.nodes = nodes
        self.free = free
        self._now = now
        self._begins = sorted({window.start for node in nodes.values() for window in node.windows})
        self.windows = bool(self._begins)
        self._racks: dict[tuple[Constraints, float], list[list[str]]] = {}
        self._spots: dict[tuple[Constraints, float], list[list[Spot]]] = {}
        self._counts: dict[tuple[Demand, float], Count] = {}

    @classmethod
    def of(cls, state: State, now: float) -> Floor:
        """What jobs without a claim may use."""
        held, later = _Tally(state.nodes), _Tally(state.nodes)
        for running in state.running.values():
            held.add(running.placement, running.job.demand)
            later.add(running.placement if running.keeps is None else running.keeps, running.job.demand)
        for name, claim in state.claims(now).items():
            later.add(claim, state.pending[name].demand)
        free = {name: _least(node, held.used[name], later.used[name]) for name, node in sorted(state.nodes.items())}
        return cls(dict(sorted(state.nodes.items())), free, now)

    def emptied(self, nodes: Iterable[Node]) -> Floor:
        """These nodes, with nobody on them."""
        found = {node.name: node for node in nodes}
        return Floor(found, {name: Free(n.slots, n.cpus, n.memory) for name, n in found.items()}, self._now)

    def horizon(self, takes: float) -> float:
        """Until when a run that starts now and takes so many seconds at most may hold its place.

        All times between the begins of two windows are told as the later of these: they are all the same to a run.
        """
        later = bisect_left(self._begins, self._now + takes)
        return self._begins[later] if later < len(self._begins) else math.inf

    def racks(self, wants: Constraints, until: float) -> list[list[str]]:
        """Nodes on which workers may start and stay until then, room aside: those on which a gang may lie together."""
        key = (wants, until)
        if key not in self._racks:
            demand, racks = Demand(constraints=wants), dict[str, list[str]]()
            for node in self.nodes.values():
                if usable(node, demand, self._now, max(until, self._now)):
                    racks.setdefault(node.rack if wants.same_rack else "", []).append(node.name)
            self._racks[key] = [racks[rack] for rack in sorted(racks)]
        return self._racks[key]

    def accepts(self, demand: Demand, until: float) -> list[str]:
        """The same nodes in one list."""
        return sorted(name for rack in self.racks(demand.constraints, until) for name in rack)

    def count(self, demand: Demand, until: float) -> Count:
        """How a demand stands on the nodes that it accepts until then."""
        key = (demand, until)
        if key not in self._counts:
            self._counts[key] = _count(self._alike(demand.constraints, until), demand)
        return self._counts[key]

    def _alike(self, wants: Constraints, until: float) -> list[list[Spot]]:
        key = (wants, until)
        if key not in self._spots:
            self._spots[key] = [self._grouped(rack) for rack in self.racks(wants, until)]
        return self._spots[key]

    def _grouped(self, rack: Iterable[str]) -> list[Spot]:
        found: dict[tuple[int, int, int, Free], list[Node]] = {}
        for name in rack:
            node = self.nodes[name]
            found.setdefault((node.slots, node.cpus, node.memory, self.free[name]), []).append(node)
        return [Spot(nodes[0], key[3], len(nodes)) for key, nodes in found.items()]


def _count(racks: Sequence[Sequence[Spot]], demand: Demand) -> Count:
    fits = [[(spot.fits(demand), spot) for spot in rack] for rack in racks]
    spots = [pair for rack in fits for pair in rack]
    largest = max((capacity(node, demand) for node in _shapes(spots)), default=0)
    workers, at = max(spots, key=itemgetter(0), default=(0, None))
    free = [_free(rack) for rack in racks]
    return Count(
        nodes=sum([spot.copies for _, spot in spots]),
        free=sum(free),
        size=max((node.slots for node in _shapes(spots)), default=0),
        largest=largest,
        fitting=sum([most * spot.copies for most, spot in spots]),
        best=("" if at is None else at.node.name, workers),
        whole=sum([spot.copies for _, spot in spots if spot.free[0] == spot.node.slots]),
        together=max(free, default=0),
        enough=any(_enough(rack, demand, largest) for rack in fits),
    )


def _shapes(spots: Iterable[tuple[int, Spot]]) -> Iterable[Node]:
    """One node of each size."""
    return {(spot.node.slots, spot.node.cpus, spot.node.memory): spot.node for _, spot in spots}.values()


def _free(rack: Sequence[Spot]) -> int:
    return sum([spot.free[0] * spot.copies for spot in rack if spot.free[0] > 0])


def _enough(rack: Sequence[tuple[int, Spot]], demand: Demand, largest: int) -> bool:
    workers = demand.workers_min
    if not demand.packed:
        return sum([fits * spot.copies for fits, spot in rack]) >= workers
    if workers <= largest:
        return max(rack, key=itemgetter(0), default=(0, None))[0] >= workers
    for fits, spot in sorted(rack, key=itemgetter(0), reverse=True):
        if not spot.empty or fits == 0:
            continue
        used = min(spot.copies, (workers - 1) // fits)
        workers -= used * fits
        if used < spot.copies:
            return True
    return max([fits for fits, spot in rack if not spot.empty], default=0) >= workers


class _Tally:
    """What is used of each node."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self.used = {name: [0, 0, 0] for name in nodes}

    def add(self, placement: Placement, demand: Demand) -> None:
        for name, workers in placement:
            if (used := self.used.get(name)) is not None:
                used[0] += workers * demand.slots
                used[1] += workers * demand.cpus
                used[2] += workers * demand.memory


def _least(node: Node, held: list[int], later: list[int]) -> Free:
    slots, cpus, memory = (max(pair) for pair in zip(held, later, strict=True))
    return Free(node.slots - slots, node.cpus - cpus, node.memory - memory)
