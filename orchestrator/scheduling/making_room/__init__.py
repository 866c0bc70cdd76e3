"""Room for a waiting job: which running jobs are asked to shrink or to stop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from orchestrator.scheduling.making_room import anywhere, on_one_node, on_whole_nodes
from orchestrator.scheduling.making_room.plans import Plan, Price
from orchestrator.scheduling.making_room.rules import Claimant
from orchestrator.scheduling.room import capacity, usable

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft
    from orchestrator.scheduling.jobs import Job


def make_room(draft: Draft, job: Job) -> bool:
    """Whether running jobs were asked to give up what `job` claims; it is then no longer blocked.

    It gets its fewest workers. Shrinks go before stops. Of all nodes (or sets of nodes) the cheapest is taken, and of
    those asked nobody can be left out.
    """
    policy = draft.policy
    if policy.preemption is None and (policy.elastic is None or policy.elastic.shrink == "never"):
        return False
    claimant = Claimant.of(draft, job)
    kind = (
        job.demand,
        job.priority,
        job.limit,
        claimant.owners,
        claimant.stops,
        job.team if draft.book.tree.quotas else "",
    )
    if (failed := draft.givers.failed.get(kind)) is not None and failed <= claimant.rank:
        return False
    plan = _cheapest(draft, claimant)
    if plan is None:
        draft.givers.failed.setdefault(kind, claimant.rank)
        draft.wake(draft.givers.wake)
        return False
    _carry_out(draft, claimant, plan)
    return True


def _cheapest(draft: Draft, claimant: Claimant) -> Plan | None:
    most = _at_most(draft, claimant)
    demand, job = claimant.job.demand, claimant.job
    workers, until = demand.workers_min, draft.ends_by(job)
    free = sum(most.values()) + draft.room.free
    if not most or free < workers * demand.slots:
        return None
    elastic, preemption = draft.policy.elastic, draft.policy.preemption
    price = Price(draft.now, preemption.price if preemption else 0.0, elastic.price if elastic else 0.0)
    nodes = [node for node in draft.state.nodes.values() if usable(node, demand, draft.now, until)]
    if not demand.packed:
        return anywhere.cheapest(draft, claimant, workers, [node.name for node in nodes], price)
    if any(capacity(node, demand) >= workers for node in nodes):
        useful = {node.name: most[node.name] for node in nodes if node.name in most}
        return on_one_node.cheapest(draft, claimant, workers, useful, price)
    racks: dict[str, list[str]] = {}
    for node in nodes:
        racks.setdefault(node.rack if demand.constraints.same_rack else "", []).append(node.name)
    return _best(on_whole_nodes.cheapest(draft, claimant, workers, names, price) for names in racks.values())


def _best(plans: Iterable[Plan | None]) -> Plan | None:
    return min((plan for plan in plans if plan is not None), key=lambda plan: plan.cost, default=None)


def _at_most(draft: Draft, claimant: Claimant) -> dict[str, int]:
    """Slots that could be given up on each node, were all rules but the order's forgotten: what prunes the search."""
    most = dict(draft.givers.shrinkable)
    if claimant.stops:
        for giver in draft.givers.last_first:
            if not claimant.owners and giver.rank <= claimant.rank:
                break
            for node, workers in giver.running.placement:
                most[node] = most.get(node, 0) + workers * giver.slots
    return {node: slots for node, slots in most.items() if slots > 0}


def _carry_out(draft: Draft, claimant: Claimant, plan: Plan) -> None:
    job = claimant.job
    for ask in plan.asks:
        run = ask.giver.running
        gives = sum(share.workers for share in ask.gives) * ask.giver.slots
        draft.book.give_up(run.job.team, gives)
        if ask.stops:
            draft.preempt(run, job.id, f"room for {job.id}, which goes first")
        else:
            draft.shrink(run, ask.keeps, job.id, f"room for {job.id}")
    draft.givers.asked(ask.giver for ask in plan.asks)
    draft.claim(job, plan.placement)
