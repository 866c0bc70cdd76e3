"""The cheapest way to clear whole nodes for a gang that is larger than one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from orchestrator.scheduling.cluster import Placement, Share, workers_of
from orchestrator.scheduling.givers import Giver
from orchestrator.scheduling.making_room.plans import Ask, Plan
from orchestrator.scheduling.making_room.rules import Claimant, may_spare, may_stop
from orchestrator.scheduling.room import capacity

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft
    from orchestrator.scheduling.making_room.prospects import Prospects


def cheapest(draft: Draft, claimant: Claimant, prospects: Prospects, nodes: Iterable[str]) -> Plan | None:
    """A plan that clears nodes, those that are cheapest to clear first, until the gang fits.

    Args:
        draft: what is decided so far.
        claimant: for whom.
        prospects: who may be asked.
        nodes: usable ones that could be cleared, all in one rack where the job wants that.
    """
    clearing = _Clearing(draft, claimant, prospects)
    demand, workers = claimant.job.demand, claimant.workers
    ordered = sorted((cost, name) for name in nodes if (cost := clearing.cost(name)) is not None)
    shares: list[Share] = []
    for _, name in ordered:
        most = capacity(draft.state.nodes[name], demand)
        if 0 < workers < most and (last := _shared(draft, claimant, workers, shares)) is not None:
            shares.append(last)
            workers = 0
        if workers <= 0:
            break
        if most > 0 and clearing.clear(name):
            shares.append(Share(name, min(workers, most)))
            workers -= shares[-1].workers
    return Plan(tuple(sorted(shares)), clearing.asks()) if workers <= 0 and shares else None


def _shared(draft: Draft, claimant: Claimant, workers: int, taken: list[Share]) -> Share | None:
    """Where the last workers of a gang may lie beside others without anybody being asked."""
    place = draft.later.fit(claimant.job.demand, workers, draft.now, draft.ends_by(claimant.job))
    if place is None or len(place) != 1 or any(share.node == place[0].node for share in taken):
        return None
    return place[0]


class _Clearing:
    """Nodes cleared so far."""

    def __init__(self, draft: Draft, claimant: Claimant, prospects: Prospects) -> None:
        self._draft, self._claimant = draft, claimant
        self._givers, self._price = prospects.givers, prospects.price
        self._stopped: dict[str, Giver] = {}
        self._shrunk: dict[str, tuple[Giver, Placement]] = {}

    def cost(self, node: str) -> float | None:
        """Slot-seconds lost by clearing a node alone; None where it cannot be cleared."""
        draft = self._draft
        free, total = draft.later.free_on(node), draft.state.nodes[node].slots
        if free >= total:
            return 0.0
        givers = self._givers.on(node)
        if free + sum(giver.on(node) * giver.slots for giver in givers) < total:
            return None
        cost = 0.0
        for giver in givers:
            if self._can_shrink(giver, node):
                cost += self._price.of_shrink(giver, (Share(node, giver.on(node)),)).cost
            elif may_stop(draft, self._claimant, giver):
                cost += self._price.of_stop(giver).cost / len(giver.placement)
            else:
                return None
        return cost

    def clear(self, node: str) -> bool:
        """Ask all who are there, as far as they are not asked already; nobody is asked where one cannot be."""
        if self._draft.later.free_on(node) >= self._draft.state.nodes[node].slots:
            return True
        stops, shrinks = [], []
        for giver in self._givers.on(node):
            if giver.running.job.id in self._stopped:
                continue
            if self._can_shrink(giver, node):
                shrinks.append(giver)
            elif may_stop(self._draft, self._claimant, giver):
                stops.append(giver)
            else:
                return False
        for giver in shrinks:
            _, gives = self._shrunk.get(giver.running.job.id, (giver, ()))
            self._shrunk[giver.running.job.id] = (giver, (*gives, Share(node, giver.on(node))))
        for giver in stops:
            self._stopped[giver.running.job.id] = giver
            self._shrunk.pop(giver.running.job.id, None)
        return True

    def asks(self) -> tuple[Ask, ...]:
        """All of them, by name."""
        stops = {name: self._price.of_stop(giver) for name, giver in self._stopped.items()}
        shrinks = {name: self._price.of_shrink(giver, gives) for name, (giver, gives) in self._shrunk.items()}
        return tuple(ask for _, ask in sorted((stops | shrinks).items()))

    def _can_shrink(self, giver: Giver, node: str) -> bool:
        """Whether a gang on several nodes can do without what it has there, beside what it gave up already."""
        if len(giver.placement) == 1:
            return False
        _, gives = self._shrunk.get(giver.running.job.id, (giver, ()))
        return workers_of(gives) + giver.on(node) <= may_spare(self._draft, self._claimant, giver)
