"""Room for a waiting job: which running jobs are asked to shrink or to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.scheduling.making_room import anywhere, on_one_node, on_whole_nodes
from orchestrator.scheduling.making_room.plans import Plan, Price
from orchestrator.scheduling.making_room.rules import Claimant
from orchestrator.scheduling.room import usable

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft
    from orchestrator.scheduling.jobs import Job


def make_room(draft: Draft, job: Job) -> bool:
    """Whether running jobs were asked to give up what `job`, which fits nowhere, claims; it is no longer blocked then.

    It gets its fewest workers, by shrinks or else by stops. Of all nodes (or sets of nodes) the cheapest is taken, and
    of those asked nobody can be left out.
    """
    return _asks_anybody(draft) and _claim(draft, Claimant.of(draft, job, draft.fewest(job), stops=True))


def make_wide_room(draft: Draft, job: Job, workers: int) -> bool:
    """Whether running jobs were asked to give up what `job` claims to start wider than with `workers`, which fit.

    It gets all of its workers, by shrinks or else by stops, or half of them by shrinks.
    """
    elastic, most = draft.policy.elastic, draft.widest(job)
    if elastic is None or elastic.room_for != "most" or workers >= most or not _asks_anybody(draft):
        return False
    if _claim(draft, Claimant.of(draft, job, most, stops=False)):
        return True
    half = max(draft.fewest(job), -(-most // 2))
    if workers < half < most and _claim(draft, Claimant.of(draft, job, half, stops=False)):
        return True
    return _claim(draft, Claimant.of(draft, job, most, stops=True))


def is_barred(draft: Draft, job: Job) -> bool:
    """Whether others who need the same may have running jobs stopped, but not this one: it was stopped itself."""
    return draft.policy.preemption is not None and job.preemptions > 0


def _asks_anybody(draft: Draft) -> bool:
    elastic = draft.policy.elastic
    return draft.policy.preemption is not None or (elastic is not None and elastic.shrink != "never")


def _claim(draft: Draft, claimant: Claimant) -> bool:
    """Find the cheapest plan and carry it out."""
    job = claimant.job
    slots = claimant.workers * job.demand.slots
    if not draft.book.allows(job.team, slots):
        return False
    team = job.team if draft.book.tree.quotas else ""
    kind = (job.demand, claimant.workers, job.priority, job.limit, claimant.owners, claimant.stops, team)
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
    demand, job = claimant.job.demand, claimant.job
    workers, until = claimant.workers, draft.ends_by(job)
    if (draft.resizes or draft.preempts) and (freed := draft.place_after(job, workers, [])) is not None:
        return Plan(freed)
    most = _at_most(draft, claimant)
    if sum(most.values()) + draft.room.free < workers * demand.slots:
        return None
    price = Price(draft.now, draft.policy.preemption.price if draft.policy.preemption else 0.0)
    nodes = draft.state.nodes
    if not demand.packed:
        useful = [name for name in most if usable(nodes[name], demand, draft.now, until)]
        return anywhere.cheapest(draft, claimant, useful, price)
    if workers <= max(draft.idle.layout.shape(demand).most, default=0):
        useful_slots = {name: most[name] for name in most if usable(nodes[name], demand, draft.now, until)}
        return on_one_node.cheapest(draft, claimant, useful_slots, price)
    return _on_racks(draft, claimant, most, price)


def _on_racks(draft: Draft, claimant: Claimant, most: dict[str, int], price: Price) -> Plan | None:
    demand, until = claimant.job.demand, draft.ends_by(claimant.job)
    racks: dict[str, list[str]] = {}
    for node in draft.state.nodes.values():
        could_be = draft.later.free_on(node.name) + most.get(node.name, 0) >= node.slots
        if could_be and usable(node, demand, draft.now, until):
            racks.setdefault(node.rack if demand.constraints.same_rack else "", []).append(node.name)
    plans = (on_whole_nodes.cheapest(draft, claimant, names, price) for names in racks.values())
    return min((plan for plan in plans if plan is not None), key=lambda plan: plan.cost, default=None)


def _at_most(draft: Draft, claimant: Claimant) -> dict[str, int]:
    """Slots that could be given up on each node, were all rules but the order's forgotten: what prunes the search."""
    most = {node: slots for node, slots in draft.givers.shrinkable.items() if slots > 0}
    if claimant.stops:
        for giver in draft.givers.last_first:
            if not claimant.owners and giver.rank <= claimant.rank:
                break
            for node, workers in giver.placement:
                most[node] = most.get(node, 0) + workers * giver.slots
    return most


def _carry_out(draft: Draft, claimant: Claimant, plan: Plan) -> None:
    job = claimant.job
    for ask in plan.asks:
        run = ask.giver.running
        draft.book.give_up(run.job.team, ask.slots)
        if ask.stops:
            draft.preempt(run, job.id, f"room for {job.id}, which goes first")
            draft.givers.stopped(ask.giver)
        else:
            draft.shrink(run, ask.keeps, job.id, f"room for {job.id}")
            draft.givers.shrunk(ask.giver, ask.keeps)
    draft.claim(job, plan.placement)
