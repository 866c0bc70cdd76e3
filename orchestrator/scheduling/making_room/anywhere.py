"""Room for a gang that may lie scattered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from orchestrator.scheduling.cluster import Placement
from orchestrator.scheduling.making_room.enough import enough
from orchestrator.scheduling.making_room.on_one_node import all_it_can
from orchestrator.scheduling.making_room.plans import Ask, Plan, Price
from orchestrator.scheduling.making_room.rules import Claimant, may_stop

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft


def cheapest(draft: Draft, claimant: Claimant, nodes: Iterable[str], price: Price) -> Plan | None:
    """A plan of the fewest, cheapest asks by what they lose for a slot: by shrinks alone, or else by stops too.

    Args:
        draft: what is decided so far.
        claimant: for whom.
        nodes: usable ones.
        price: what it costs to ask.
    """
    shrinks: dict[str, Ask] = {}
    stops: dict[str, Ask] = {}
    for giver in [giver for node in sorted(nodes) for giver in draft.givers.on(node)]:
        name = giver.running.job.id
        if name not in shrinks and (ask := all_it_can(draft, claimant, giver, giver.placement[0].node, price)):
            shrinks[name] = ask
        if name not in stops and may_stop(draft, claimant, giver):
            stops[name] = price.of_stop(giver)
    rest = {name: ask for name, ask in shrinks.items() if name not in stops}
    for asks in (shrinks.values(), (*stops.values(), *rest.values())):
        ordered = sorted(asks, key=lambda ask: ask.cheap_first)
        chosen = enough(draft, claimant, ordered, lambda: _place(draft, claimant) is not None)
        if chosen is not None:
            freed = [(ask.gives, ask.giver.running.job.demand) for ask in chosen]
            place = draft.place_after(claimant.job, claimant.workers, freed)
            return None if place is None else Plan(place, tuple(chosen))
    return None


def _place(draft: Draft, claimant: Claimant) -> Placement | None:
    return draft.place_after(claimant.job, claimant.workers, [])
