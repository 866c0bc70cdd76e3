"""The cheapest way to clear whole nodes for a gang that is larger than one."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.scheduling.cluster import Share, workers_of
from orchestrator.scheduling.givers import Giver
from orchestrator.scheduling.making_room import on_one_node
from orchestrator.scheduling.making_room.enough import Trial, leanest
from orchestrator.scheduling.making_room.plans import Ask, Plan
from orchestrator.scheduling.making_room.rules import Claimant, may_spare, may_stop
from orchestrator.scheduling.orders.ranking import Key
from orchestrator.scheduling.room import Room, capacity

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft
    from orchestrator.scheduling.making_room.prospects import Prospects


def cheapest(
    draft: Draft, claimant: Claimant, prospects: Prospects, room: Room, rack: str | None, nodes: Iterable[str]
) -> Plan | None:
    """A plan that clears nodes, those that are cheapest to clear first, until the gang fits.

    What is less than a node's part of it goes to one more node, where that costs least, beside others.

    Args:
        draft: what is decided so far.
        claimant: for whom.
        prospects: who may be asked.
        room: what could be free at most.
        rack: in which all of it has to lie; None: anywhere.
        nodes: usable ones of that rack that could be cleared.
    """
    clearing = _Clearing(draft, claimant, prospects)
    shares = clearing.make(room, rack, nodes)
    asks = clearing.trial.asks
    clearing.trial.undo()
    if shares is None:
        return None
    found = leanest(draft, claimant, prospects.price, asks)
    place, asks = (tuple(sorted(shares)), asks) if found is None else found
    return Plan(place, _whole(asks, prospects))


def _whole(asks: Iterable[Ask], prospects: Prospects) -> tuple[Ask, ...]:
    """One for each giver, by name."""
    by_name: dict[str, list[Ask]] = {}
    for ask in asks:
        by_name.setdefault(ask.giver.running.job.id, []).append(ask)
    return tuple(
        found[0]
        if len(found) == 1
        else prospects.price.of_shrink(found[0].giver, tuple(sorted(share for ask in found for share in ask.gives)))
        for _, found in sorted(by_name.items())
    )


def _nodes_of(givers: Iterable[Giver]) -> set[str]:
    return {share.node for giver in givers for share in giver.placement}


_Cost = tuple[float, float, tuple[Key, ...]]
"""Lost by stops, lost by shrinks, and who is asked."""
_UNKNOWN = -1.0
"""In the place of what is lost by shrinks: sorts a bound before each cost that it may stand for."""


class _Nodes:
    """Nodes that could be cleared, the cheapest first; each comes up once, if it can be cleared.

    What that costs is looked up when it may count: once no other node is cheaper for sure, or before anybody who is
    there is asked for something.

    Args:
        names: of them.
        bound: what is lost by stops at least.
        cost: of clearing one too, as it is at that time; None where it cannot be cleared.
    """

    def __init__(
        self, names: Iterable[str], bound: Callable[[str], float], cost: Callable[[str], _Cost | None]
    ) -> None:
        self._cost = cost
        self._heap: list[tuple[_Cost, str]] = [((bound(name), _UNKNOWN, ()), name) for name in names]
        heapq.heapify(self._heap)
        self._unknown, self._left = {name for _, name in self._heap}, set[str]()

    def __iter__(self) -> Iterator[str]:
        """Those that are left."""
        while self._heap:
            (_, shrinks, _), name = heapq.heappop(self._heap)
            if shrinks == _UNKNOWN:
                self.look_at((name,))
            elif name in self._left:
                self._left.remove(name)
                yield name

    def look_at(self, names: Iterable[str]) -> None:
        """Somebody there is about to be asked for something."""
        for name in self._unknown.intersection(names):
            self._unknown.remove(name)
            if (cost := self._cost(name)) is not None:
                self._left.add(name)
                heapq.heappush(self._heap, (cost, name))

    def look_again(self, names: Iterable[str]) -> None:
        """Somebody there was asked to stop."""
        for name in self._left.intersection(names):
            if (cost := self._cost(name)) is not None:
                heapq.heappush(self._heap, (cost, name))


class _Clearing:
    """Nodes cleared so far, for one claimant.

    Attributes:
        trial: what was asked for that.
    """

    def __init__(self, draft: Draft, claimant: Claimant, prospects: Prospects) -> None:
        self.trial = Trial(draft, claimant)
        self._draft, self._claimant, self._prospects = draft, claimant, prospects
        self._asked: dict[str, list[Ask]] = {}

    def make(self, room: Room, rack: str | None, nodes: Iterable[str]) -> list[Share] | None:
        """Where the gang lies once all have done what they are asked for; None: nowhere."""
        shares: list[Share] = []
        rest, left = self._claimant.workers, _Nodes(nodes, self._prospects.to_clear, self._cost)
        if self._draft.book.tree.quotas:
            left.look_at(nodes)  # each ask counts for all who are in its team
        largest = max(self._draft.idle.layout.shape(self._claimant.job.demand).most)
        while rest > 0:
            if rest <= largest and (last := self._last(room, rack, rest)) is not None:
                return [*shares, *last]
            if (share := self._clear(left, rest)) is None:
                return None
            shares.append(share)
            rest -= share.workers
        return shares

    def _clear(self, left: _Nodes, rest: int) -> Share | None:
        """Clear one node more, the cheapest that still can be; the part of the gang that lies there then."""
        for name in left:
            most = capacity(self._draft.state.nodes[name], self._claimant.job.demand)
            if most <= 0 or (asks := self._asks(name)) is None:
                continue
            left.look_at(_nodes_of(ask.giver for ask in asks))
            stopped = self._ask(asks)
            share = Share(name, min(rest, most))
            self.trial.take((share,))
            left.look_again(_nodes_of(stopped))
            return share
        return None

    def _last(self, room: Room, rack: str | None, workers: int) -> tuple[Share, ...] | None:
        """The rest of the gang on one node, beside others."""
        draft, demand = self._draft, self._claimant.job.demand
        names = room.roomy(demand, workers * demand.slots, draft.now, self._claimant.until)
        if rack is not None:
            names = [name for name in names if draft.state.nodes[name].rack == rack]
        claimant = replace(self._claimant, workers=workers)
        plan = on_one_node.cheapest(draft, claimant, self._prospects, names, self._asked)
        if plan is None:
            return None
        self._ask(plan.asks)
        return plan.placement

    def _cost(self, node: str) -> _Cost | None:
        """Lost by clearing a node too: slot-seconds by stops, speed by shrinks; None where it cannot be cleared.

        Of two that cost the same, the one whose jobs are last in the order goes first.
        """
        asks = self._asks(node)
        if asks is None:
            return None
        stops = math.fsum(ask.cost / len(ask.giver.placement) for ask in asks if ask.stops)
        ranks = sorted(tuple(-part for part in ask.giver.rank) for ask in asks)
        return stops, math.fsum(ask.cost for ask in asks if not ask.stops), tuple(ranks)

    def _asks(self, node: str) -> list[Ask] | None:
        """What all who are there, and are not asked for it already, are asked to clear it; None: they cannot be."""
        free, total = self._draft.later.free_on(node), self._draft.state.nodes[node].slots
        if free >= total:
            return []
        asks = []
        for giver in self._prospects.givers.on(node):
            before = self._asked.get(giver.running.job.id, [])
            if before and any(ask.stops or ask.gives[0].node == node for ask in before):
                continue
            if self._can_shrink(giver, node, before):
                asks.append(self._prospects.price.of_shrink(giver, (Share(node, giver.on(node)),)))
            elif may_stop(self._draft, self._claimant, giver):
                asks.append(self._prospects.price.of_stop(giver))
            else:
                return None
            free += giver.on(node) * giver.slots
        return asks if free >= total else None

    def _can_shrink(self, giver: Giver, node: str, before: list[Ask]) -> bool:
        """Whether a gang on several nodes can do without what it has there, beside what it gave up already."""
        if len(giver.placement) == 1:
            return False
        given = sum(workers_of(ask.gives) for ask in before)
        return given + giver.on(node) <= may_spare(self._draft, self._claimant, giver)

    def _ask(self, asks: Iterable[Ask]) -> list[Giver]:
        """Ask them; who stops gives up nothing by shrinking. Those who stop are returned."""
        stopped = []
        for ask in asks:
            before = self._asked.setdefault(ask.giver.running.job.id, [])
            if ask.stops:
                for shrink in before:
                    self.trial.remove(shrink)
                before.clear()
                stopped.append(ask.giver)
            self.trial.add(ask)
            before.append(ask)
        return stopped
