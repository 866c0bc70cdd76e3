"""The cheapest way to make room for a gang on one node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from orchestrator.scheduling.cluster import Share, workers_of
from orchestrator.scheduling.givers import Giver
from orchestrator.scheduling.making_room.plans import Ask, Plan, Price
from orchestrator.scheduling.making_room.rules import Claimant, may_shrink, may_stop
from orchestrator.scheduling.room import Room

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft


def cheapest(draft: Draft, claimant: Claimant, workers: int, nodes: Mapping[str, int], price: Price) -> Plan | None:
    """The cheapest plan for so many workers on one of these nodes.

    Args:
        draft: what is decided so far.
        claimant: for whom.
        workers: its width.
        nodes: usable ones, and the slots that those who run there could give up at most.
        price: what it costs to ask.
    """
    demand, later = claimant.job.demand, draft.later
    need = workers * demand.slots
    found = [
        plan
        for name, slots in nodes.items()
        if later.free_on(name) + slots >= need and (plan := _plan(draft, claimant, Share(name, workers), price))
    ]
    return min(found, key=lambda plan: plan.cost, default=None)


def _plan(draft: Draft, claimant: Claimant, share: Share, price: Price) -> Plan | None:
    givers = draft.givers.on(share.node)
    shrinks = [
        ask
        for giver in givers
        if may_shrink(draft, claimant, giver) and (ask := most_of(giver, share.node, price)) is not None
    ]
    asks = _enough(draft.later, claimant, share, sorted(shrinks, key=_cheap_first))
    if asks is None:
        stops = [price.of_stop(giver) for giver in givers if may_stop(draft, claimant, giver)]
        asks = _enough(draft.later, claimant, share, sorted(stops, key=_cheap_first))
        if asks is None:
            asks = _enough(draft.later, claimant, share, [*sorted(stops, key=_cheap_first), *_others(shrinks, stops)])
    if asks is None:
        return None
    return _fitted(draft, claimant, share, asks, price)


def most_of(giver: Giver, node: str, price: Price) -> Ask | None:
    """All that a running job can do without on a node, by itself; a packed gang stays on the fewest nodes."""
    held = giver.running.placement
    here = next((share.workers for share in held if share.node == node), 0)
    gives = min(here, giver.spare)
    if len(held) > 1 and giver.running.job.demand.packed:
        gives = here if here <= giver.spare and here == min(share.workers for share in held) else 0
    return price.of_shrink(giver, (Share(node, gives),)) if gives else None


def _cheap_first(ask: Ask) -> tuple[float, tuple[float, ...]]:
    """By what is lost for a slot; of two, who comes later in the order."""
    return (ask.cost / (workers_of(ask.gives) * ask.giver.slots), tuple(-part for part in ask.giver.rank))


def _others(shrinks: Iterable[Ask], stops: Iterable[Ask]) -> list[Ask]:
    """Shrinks of those who are not stopped."""
    stopped = {ask.giver.running.job.id for ask in stops}
    return sorted((ask for ask in shrinks if ask.giver.running.job.id not in stopped), key=_cheap_first)


def _enough(later: Room, claimant: Claimant, share: Share, asks: list[Ask]) -> list[Ask] | None:
    """The first of these asks that are enough, less those that can be left out; None where all are too few."""
    demand, placement = claimant.job.demand, (share,)
    given: list[Ask] = []
    for ask in asks:
        if later.holds(placement, demand):
            break
        later.give(ask.gives, ask.giver.running.job.demand)
        given.append(ask)
    kept = list(given) if later.holds(placement, demand) else None
    for ask in sorted(given, key=lambda a: a.order) if kept is not None else ():
        later.take(ask.gives, ask.giver.running.job.demand)
        if later.holds(placement, demand) and kept is not None:
            kept.remove(ask)
        else:
            later.give(ask.gives, ask.giver.running.job.demand)
    for ask in given if kept is None else kept:
        later.take(ask.gives, ask.giver.running.job.demand)
    return kept


def _fitted(draft: Draft, claimant: Claimant, share: Share, asks: list[Ask], price: Price) -> Plan:
    """The plan, in which nobody shrinks further than is needed."""
    demand = claimant.job.demand
    freed = sum(ask_slots(ask, share.node) for ask in asks)
    spare = draft.later.free_on(share.node) + freed - share.workers * demand.slots
    exact = []
    for ask in sorted(asks, key=lambda a: a.order):
        back = min(workers_of(ask.gives) - 1, spare // ask.giver.slots) if not ask.stops else 0
        if back > 0 and len(ask.giver.running.placement) == 1 and not (demand.cpus or demand.memory):
            spare -= back * ask.giver.slots
            ask = price.of_shrink(ask.giver, (Share(share.node, workers_of(ask.gives) - back),))
        exact.append(ask)
    return Plan((share,), tuple(exact), max(0, spare))


def ask_slots(ask: Ask, node: str) -> int:
    """Slots that an ask frees on a node."""
    return sum(share.workers for share in ask.gives if share.node == node) * ask.giver.slots
