"""Room for a gang that may lie scattered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from orchestrator.scheduling.cluster import Placement
from orchestrator.scheduling.making_room.on_one_node import most_of
from orchestrator.scheduling.making_room.plans import Ask, Plan, Price
from orchestrator.scheduling.making_room.rules import Claimant, may_shrink, may_stop

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft


def cheapest(draft: Draft, claimant: Claimant, workers: int, nodes: Iterable[str], price: Price) -> Plan | None:
    """A plan of the fewest, cheapest asks by what they lose for a slot: shrinks first, then stops.

    Args:
        draft: what is decided so far.
        claimant: for whom.
        workers: its width.
        nodes: usable ones.
        price: what it costs to ask.
    """
    shrinks: dict[str, Ask] = {}
    stops: dict[str, Ask] = {}
    for giver in [giver for node in sorted(nodes) for giver in draft.givers.on(node)]:
        name = giver.running.job.id
        if may_shrink(draft, claimant, giver) and (ask := most_of(giver, giver.running.placement[0].node, price)):
            shrinks.setdefault(name, ask)
        if may_stop(draft, claimant, giver):
            stops.setdefault(name, price.of_stop(giver))
    rest = {name: ask for name, ask in shrinks.items() if name not in stops}
    for asks in (shrinks.values(), (*stops.values(), *rest.values())):
        plan = _enough(draft, claimant, workers, sorted(asks, key=lambda ask: ask.order, reverse=True))
        if plan is not None:
            return plan
    return None


def _enough(draft: Draft, claimant: Claimant, workers: int, asks: list[Ask]) -> Plan | None:
    chosen: list[Ask] = []
    while not (found := _place(draft, claimant, workers, chosen)):
        if len(chosen) == len(asks):
            return None
        chosen.append(asks[len(chosen)])
    for ask in sorted(chosen, key=lambda a: a.order):
        fewer = [other for other in chosen if other is not ask]
        if without := _place(draft, claimant, workers, fewer):
            chosen, found = fewer, without
    return Plan(found, tuple(chosen))


def _place(draft: Draft, claimant: Claimant, workers: int, asks: list[Ask]) -> Placement:
    return draft.place_after(claimant.job, workers, [(a.gives, a.giver.running.job.demand) for a in asks]) or ()
