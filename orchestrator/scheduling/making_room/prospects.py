"""What could be freed where, for whom: what rules out at a glance most of what cannot be had, in one decision."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.scheduling.cluster import Demand, Placement, Share, workers_of
from orchestrator.scheduling.givers import Giver, Givers, goes_before
from orchestrator.scheduling.making_room.plans import Plan, Price
from orchestrator.scheduling.making_room.rules import Claimant
from orchestrator.scheduling.orders.ranking import Key
from orchestrator.scheduling.room import Room

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft

Bound = tuple[object, ...]


class _Least(NamedTuple):
    """What those on a node lose at least by stops, in slot-seconds.

    Attributes:
        by_slot: for each slot that is freed.
        by_one: if anybody is asked.
        by_all: if nobody stays, and gangs on several nodes that may leave this one do; a part of what a gang loses
            that has to stop, for each of its nodes.
        last: who is the last of them in the order.
    """

    by_slot: float = 0.0
    by_one: float = 0.0
    by_all: float = 0.0
    last: Bound = ()


class Prospects:
    """Of the claimants of one decision, which come in the order of the queue.

    Attributes:
        givers: running jobs that can give something up.
        price: what it costs to ask them.
        failed: for each kind of claimant, the rank of the first one that no room could be made for.
    """

    def __init__(self, draft: Draft, first: Key) -> None:
        """Look them up; `first`: the rank of the first claimant."""
        self._policy = draft.policy
        ranked = not draft.book.tree.quotas
        self.givers = Givers(draft, first if ranked else None)
        self.price = Price(draft.now, draft.policy.preemption.price if draft.policy.preemption else 0.0)
        self.failed: dict[tuple[object, ...], Key] = {}
        self._asked: set[str] = set()
        self._bounds: dict[str, _Least] = {}
        self._room, self._by_shrinks = draft.later.copy(), draft.later.copy()
        elastic = draft.policy.elastic
        for giver in self.givers.all:
            spared, demand = _spared(giver), giver.running.job.demand
            self._room.give(giver.placement if giver.stops else spared, demand)
            if spared:
                self._by_shrinks.give(spared, demand)
        last_first = sorted(self.givers.all, key=lambda giver: giver.rank, reverse=True) if ranked else []
        self._stopping = [giver for giver in last_first if giver.stops]
        self._sparing = last_first if elastic is not None and elastic.shrink == "earlier" else []

    @property
    def most(self) -> Room:
        """What could be free at most for any claimant that is still to come."""
        return self._room

    def room(self, claimant: Claimant) -> Room:
        """What could be free for it at most, were all but a few rules forgotten."""
        while self._stopping and not goes_before(self._policy, claimant.rank, self._stopping[-1].rank):
            giver = self._stopping.pop()
            self._holds_on(self._room, giver, giver.placement)
            self._holds_on(self._room, giver, _spared(giver), -1)
        while self._sparing and not claimant.rank < self._sparing[-1].rank:
            giver = self._sparing.pop()
            for room in (self._room, self._by_shrinks):
                self._holds_on(room, giver, _spared(giver))
        return self._room if claimant.stops else self._by_shrinks

    def ask(self, plan: Plan, demand: Demand) -> None:
        """What is asked of whom by a plan; what failed before may now succeed."""
        self.failed.clear()
        for ask in plan.asks:
            self._asked.add(ask.giver.running.job.id)
            for node, _ in ask.giver.placement:
                self._bounds.pop(node, None)
            if ask.stops:
                self.givers.stopped(ask.giver)
                self._by_shrinks.give(ask.gives, ask.giver.running.job.demand)
            else:
                self.givers.shrunk(ask.giver, ask.keeps)
        self.taken(plan.placement, demand)

    def taken(self, placement: Placement, demand: Demand) -> None:
        """This belongs to a job that starts, or will once it is free."""
        self._room.take(placement, demand)
        self._by_shrinks.take(placement, demand)

    def bound(self, node: str, missing: int) -> Bound:
        """What a plan on this node costs at least that frees so many slots; it sorts before the cost of each."""
        if missing <= 0:
            return (0.0, 0)
        least = self._least(node)
        return (missing * least.by_slot, 1, 0.0, 0, least.last)

    def closer_bound(self, node: str, missing: int) -> Bound:
        """The same, no lower: nobody stops in part. Nodes are not tried in its order: it knows nothing of rests."""
        if missing <= 0:
            return (0.0, 0)
        least = self._least(node)
        return (max(missing * least.by_slot, least.by_one), 1, 0.0, 0, least.last)

    def to_clear(self, node: str) -> float:
        """Slot-seconds that are lost at least by stops when nobody stays on this node."""
        return self._least(node).by_all

    def _least(self, node: str) -> _Least:
        if (found := self._bounds.get(node)) is None:
            found = self._bounds[node] = self._of_node(node, self.givers.on(node))
        return found

    def _of_node(self, node: str, givers: Iterable[Giver]) -> _Least:
        by_slot, by_one, by_all, last = [], [], [], []
        for giver in givers:
            cost, nodes = self.price.stop_cost(giver), len(giver.placement)
            by_slot.append(0.0 if giver.spare else cost / (workers_of(giver.placement) * giver.slots))
            by_one.append(0.0 if giver.spare else cost)
            by_all.append(0.0 if nodes > 1 and giver.on(node) <= giver.spare else cost / nodes)
            last.append(tuple(-part for part in giver.rank))
        return _Least(min(by_slot), min(by_one), math.fsum(by_all), (min(last),)) if last else _Least()

    def _holds_on(self, room: Room, giver: Giver, placement: Placement, sign: int = 1) -> None:
        if giver.running.job.id not in self._asked:
            room.take(placement, giver.running.job.demand, sign)


def _spared(giver: Giver) -> Placement:
    """What it could do without, on each node alone."""
    if not giver.spare:
        return ()
    return tuple(Share(node, min(workers, giver.spare)) for node, workers in giver.placement)
