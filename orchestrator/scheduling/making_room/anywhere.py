"""Room for a gang that may lie scattered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.scheduling.making_room.enough import enough, leanest, place
from orchestrator.scheduling.making_room.on_one_node import all_it_can
from orchestrator.scheduling.making_room.plans import Ask, Plan
from orchestrator.scheduling.making_room.rules import Claimant, may_stop

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft
    from orchestrator.scheduling.making_room.prospects import Prospects
    from orchestrator.scheduling.room import Room


def cheapest(draft: Draft, claimant: Claimant, prospects: Prospects, room: Room) -> Plan | None:
    """A plan of the fewest, cheapest asks by what they lose for a slot: by shrinks alone, or else by stops too.

    Args:
        draft: what is decided so far.
        claimant: for whom.
        prospects: who may be asked.
        room: what could be free at most.
    """
    demand, price = claimant.job.demand, prospects.price
    nodes = room.roomy(demand, demand.slots, draft.now, claimant.until)
    free = sum(max(0, draft.later.free_on(node)) for node in nodes)
    missing = claimant.workers * demand.slots - free
    shrinks: dict[str, Ask] = {}
    stops: dict[str, Ask] = {}
    for giver in [giver for node in sorted(nodes) for giver in prospects.givers.on(node)]:
        name = giver.running.job.id
        if name not in shrinks and (ask := all_it_can(draft, claimant, giver, giver.placement[0].node, price)):
            shrinks[name] = ask
        if name not in stops and may_stop(draft, claimant, giver):
            stops[name] = price.of_stop(giver)
    rest = {name: ask for name, ask in shrinks.items() if name not in stops}
    for asks in (shrinks.values(), (*stops.values(), *rest.values())):
        ordered = sorted(asks, key=lambda ask: ask.cheap_first)
        if sum(ask.slots for ask in ordered) < missing:
            continue
        chosen = enough(draft, claimant, ordered, lambda: place(draft, claimant) is not None, missing)
        if chosen is not None:
            found = leanest(draft, claimant, price, chosen)
            return None if found is None else Plan(found[0], tuple(found[1]))
    return None
