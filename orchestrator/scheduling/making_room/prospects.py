"""What could be freed where, for whom: what rules out at a glance most of what cannot be had, in one decision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from orchestrator.scheduling.cluster import Demand, Placement, Share
from orchestrator.scheduling.givers import Giver, Givers, goes_before
from orchestrator.scheduling.making_room.plans import Plan, Price
from orchestrator.scheduling.making_room.rules import Claimant
from orchestrator.scheduling.orders.ranking import Key
from orchestrator.scheduling.room import Room

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft

Bound = tuple[object, ...]
_NOTHING: Bound = (0.0, ())


class Prospects:
    """Of the claimants of one decision, which come in the order of the queue.

    Attributes:
        givers: running jobs that can give something up.
        price: what it costs to ask them.
        failed: for each kind of claimant, the rank of the first one that no room could be made for.
    """

    def __init__(self, draft: Draft, claimant: Claimant) -> None:
        self._policy = draft.policy
        ranked = not draft.book.tree.quotas
        self.givers = Givers(draft, claimant.rank if ranked else None)
        self.price = Price(draft.now, draft.policy.preemption.price if draft.policy.preemption else 0.0)
        self.failed: dict[tuple[object, ...], Key] = {}
        self._asked: set[str] = set()
        self._bounds: dict[str, Bound] = {}
        self._room, self._by_shrinks = draft.later.copy(), draft.later.copy()
        elastic = draft.policy.elastic
        for giver in self.givers.all:
            spared, demand = _spared(giver), giver.running.job.demand
            self._room.give(giver.placement if giver.stops else spared, demand)
            self._by_shrinks.give(spared, demand)
        last_first = sorted(self.givers.all, key=lambda giver: giver.rank, reverse=True) if ranked else []
        self._stopping = [giver for giver in last_first if giver.stops]
        self._sparing = last_first if elastic is not None and elastic.shrink == "earlier" else []

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
        self._room.take(plan.placement, demand)
        self._by_shrinks.take(plan.placement, demand)

    def bound(self, node: str, missing: int) -> Bound:
        """What a plan on this node costs at least that frees so many slots; it sorts before the cost of each."""
        if missing <= 0:
            return (0.0, 0)
        if (found := self._bounds.get(node)) is None:
            found = self._bounds[node] = self._of_node(self.givers.on(node))
        return (missing * found[0], 1, 0.0, 0, found[1])  # type: ignore[operator]

    def _of_node(self, givers: Iterable[Giver]) -> Bound:
        """The least that is lost for a slot, and who is the last in the order."""
        lost, last = [], []
        for giver in givers:
            ask = self.price.of_stop(giver)
            lost.append(0.0 if giver.spare else ask.cost / ask.slots)
            last.append(tuple(-part for part in giver.rank))
        return (min(lost), (min(last),)) if lost else _NOTHING

    def _holds_on(self, room: Room, giver: Giver, placement: Placement, sign: int = 1) -> None:
        if giver.running.job.id not in self._asked:
            room.take(placement, giver.running.job.demand, sign)


def _spared(giver: Giver) -> Placement:
    """What it could do without, on each node alone."""
    if not giver.spare:
        return ()
    return tuple(Share(node, min(workers, giver.spare)) for node, workers in giver.placement)
