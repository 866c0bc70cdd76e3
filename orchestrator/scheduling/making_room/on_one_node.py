"""The cheapest way to make room for a gang on one node."""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterable
from typing import TYPE_CHECKING

from orchestrator.scheduling.cluster import Share, workers_of
from orchestrator.scheduling.givers import Giver
from orchestrator.scheduling.making_room.enough import enough
from orchestrator.scheduling.making_room.plans import Ask, Plan, Price
from orchestrator.scheduling.making_room.rules import Claimant, may_spare, may_stop

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft
    from orchestrator.scheduling.making_room.prospects import Prospects


_NODES = 128
"""So many nodes are compared at most, the most promising ones first."""


def cheapest(
    draft: Draft, claimant: Claimant, prospects: Prospects, names: Iterable[str], asked: Container[str] = ()
) -> Plan | None:
    """The cheapest plan on one node, of the first `_NODES` by the least that a plan there may cost.

    Args:
        draft: what is decided so far.
        claimant: for whom.
        prospects: who may be asked.
        names: of nodes that could be had.
        asked: those who are asked for something already.
    """
    demand, best = claimant.job.demand, None
    need = claimant.workers * demand.slots
    free_on = draft.later.free_on
    heap = [(prospects.bound(name, need - free_on(name)), name) for name in names]
    heapq.heapify(heap)
    tried = 0
    while heap and (best is None or (tried < _NODES and heap[0][0] <= best.cost)):
        _, name = heapq.heappop(heap)
        tried += 1
        if best is not None and best.cost < prospects.closer_bound(name, need - free_on(name)):
            continue
        plan = _plan(draft, claimant, prospects, Share(name, claimant.workers), asked)
        if plan is not None and (best is None or plan.cost < best.cost):
            best = plan
    return best


def _plan(draft: Draft, claimant: Claimant, prospects: Prospects, share: Share, asked: Container[str]) -> Plan | None:
    """By shrinks alone, or else by stops, or else by both."""
    price, demand = prospects.price, claimant.job.demand
    givers = [giver for giver in prospects.givers.on(share.node) if giver.running.job.id not in asked]
    shrinks = [ask for giver in givers if (ask := all_it_can(draft, claimant, giver, share.node, price)) is not None]
    stops = [price.of_stop(giver) for giver in givers if may_stop(draft, claimant, giver)]
    names = {ask.giver.running.job.id for ask in stops}
    both = [*stops, *(ask for ask in shrinks if ask.giver.running.job.id not in names)]
    need = share.workers * demand.slots - draft.later.free_on(share.node)
    for asks in (shrinks, stops, both):
        if (asks or need <= 0) and sum(_freed(ask, share.node) for ask in asks) >= need:
            ordered = sorted(asks, key=lambda ask: ask.cheap_first)
            chosen = enough(draft, claimant, ordered, lambda: draft.later.holds((share,), demand))
            if chosen is not None:
                return _fitted(draft, claimant, share, chosen, price)
    return None


def all_it_can(draft: Draft, claimant: Claimant, giver: Giver, node: str, price: Price) -> Ask | None:
    """All that a running job can do without on a node, by itself; a packed gang stays on the fewest nodes."""
    here, spare = giver.on(node), may_spare(draft, claimant, giver)
    gives = min(here, spare)
    if len(giver.placement) > 1 and giver.running.job.demand.packed:
        gives = here if here <= spare and here == min(share.workers for share in giver.placement) else 0
    return price.of_shrink(giver, (Share(node, gives),)) if gives else None


def _fitted(draft: Draft, claimant: Claimant, share: Share, asks: list[Ask], price: Price) -> Plan:
    """The plan, in which nobody shrinks further than is needed."""
    demand = claimant.job.demand
    spare = draft.later.free_on(share.node) - share.workers * demand.slots
    spare += sum(_freed(ask, share.node) for ask in asks)
    exact = []
    for ask in sorted(asks, key=lambda a: a.dear_first):
        back = 0 if ask.stops else min(workers_of(ask.gives) - 1, spare // ask.giver.slots)
        if back > 0 and len(ask.giver.placement) == 1 and not (demand.cpus or demand.memory):
            spare -= back * ask.giver.slots
            ask = price.of_shrink(ask.giver, (Share(share.node, workers_of(ask.gives) - back),))
        exact.append(ask)
    return Plan((share,), tuple(exact), max(0, spare))


def _freed(ask: Ask, node: str) -> int:
    """Slots that an ask frees on a node."""
    return sum(share.workers for share in ask.gives if share.node == node) * ask.giver.slots
