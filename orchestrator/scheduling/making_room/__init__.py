"""Room for a waiting job: which running jobs are asked to shrink or to stop."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from orchestrator.scheduling.making_room import anywhere, on_one_node, on_whole_nodes
from orchestrator.scheduling.making_room.enough import leanest, place
from orchestrator.scheduling.making_room.plans import Plan
from orchestrator.scheduling.making_room.prospects import Prospects
from orchestrator.scheduling.making_room.rules import Claimant
from orchestrator.scheduling.widths import steps

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft
    from orchestrator.scheduling.jobs import Job
    from orchestrator.scheduling.room import Room


def make_room(draft: Draft, job: Job, fewest: int) -> bool:
    """Whether running jobs were asked to give up what `job`, which fits nowhere, claims; it is no longer blocked then.

    It gets its `fewest` workers, by shrinks or else by stops, if it does not get more (`make_wide_room`). Of all nodes
    (or sets of nodes) the cheapest is taken, and of those asked nobody can be left out.
    """
    if not _may_ask(draft, job) or _in_vain(draft, job, fewest):
        return False
    return make_wide_room(draft, job, 0) or _claim(draft, Claimant.of(draft, job, fewest, stops=True))


def make_wide_room(draft: Draft, job: Job, workers: int) -> bool:
    """Whether running jobs were asked to give up what `job` claims to start wider than with `workers`, which fit.

    It gets all of its workers, by shrinks or else by stops, or half of them by shrinks.
    """
    elastic, most = draft.policy.elastic, draft.widest(job)
    if elastic is None or elastic.room_for != "most" or workers >= most or not _may_ask(draft, job):
        return False
    if _claim(draft, Claimant.of(draft, job, most, stops=False)):
        return True
    fewest = draft.fewest(job)
    half = next(width for width in steps(draft, job, fewest, most) if 2 * width >= most)
    if workers < half < most and _claim(draft, Claimant.of(draft, job, half, stops=False)):
        return True
    return _claim(draft, Claimant.of(draft, job, most, stops=True))


def has_returned(draft: Draft, job: Job) -> bool:
    """Whether others who need the same may have running jobs stopped, but not this one: it was stopped itself."""
    return draft.stops_anybody and job.preemptions > 0


def has_just_come(draft: Draft, job: Job) -> bool:
    """Whether others who need the same may have room made, but not yet this one."""
    return draft.asks_anybody and draft.now < _asks_from(draft, job)


def _asks_from(draft: Draft, job: Job) -> float:
    return job.waits_since + draft.policy.asks_after


def _may_ask(draft: Draft, job: Job) -> bool:
    if not draft.asks_anybody or not draft.state.running:
        return False
    draft.wake(_asks_from(draft, job))
    return draft.now >= _asks_from(draft, job)


def _prospects(draft: Draft, job: Job) -> Prospects:
    if draft.prospects is None:
        draft.prospects = Prospects(draft, draft.rank(job))
    return draft.prospects


def _in_vain(draft: Draft, job: Job, fewest: int) -> bool:
    """Whether a job would not even fit if all gave what they can; one that was stopped has rules of its own."""
    demand, prospects = job.demand, _prospects(draft, job)
    if not demand.packed or job.preemptions or prospects.most.might_start_at_all(demand, fewest):
        return False
    draft.wake(prospects.givers.wake)
    return True


def _claim(draft: Draft, claimant: Claimant) -> bool:
    """Find the cheapest plan and carry it out."""
    job, demand = claimant.job, claimant.job.demand
    if not draft.book.allows(job.team, claimant.workers * demand.slots):
        return False
    prospects = _prospects(draft, job)
    team = job.team if draft.book.tree.quotas else ""
    begins = draft.room.layout.begins if draft.room.layout.shape(demand).windows else ()
    meets = bisect_left(begins, claimant.until)
    kind = (demand, claimant.workers, job.priority, meets, claimant.owners, claimant.stops, team)
    if (first := prospects.failed.get(kind)) is not None and first <= claimant.rank:
        return False
    plan = _cheapest(draft, claimant, prospects)
    if plan is None:
        prospects.failed.setdefault(kind, claimant.rank)
        draft.wake(prospects.givers.wake)
        return False
    _carry_out(draft, claimant, prospects, plan)
    return True


def _cheapest(draft: Draft, claimant: Claimant, prospects: Prospects) -> Plan | None:
    demand, workers = claimant.job.demand, claimant.workers
    room = prospects.room(claimant)
    if demand.packed and not room.might_start(demand, workers):
        return None
    if draft.after is not draft.room and (freed := place(draft, claimant)) is not None:
        return Plan(freed)
    if not demand.packed:
        return anywhere.cheapest(draft, claimant, prospects, room)
    if workers <= max(draft.idle.layout.shape(demand).most, default=0):
        names = room.roomy(demand, workers * demand.slots, draft.now, claimant.until)
        return _lean(draft, claimant, prospects, on_one_node.cheapest(draft, claimant, prospects, names))
    return _on_racks(draft, claimant, prospects, room)


def _lean(draft: Draft, claimant: Claimant, prospects: Prospects, plan: Plan | None) -> Plan | None:
    """Without those who can be left out because others free more nodes than one, and with no needless shrink."""
    demand = claimant.job.demand
    if plan is None or not any(
        len(ask.gives) > 1 or (not ask.stops and demand.cpus + demand.memory) for ask in plan.asks
    ):
        return plan
    found = leanest(draft, claimant, prospects.price, plan.asks)
    return plan if found is None else Plan(found[0], tuple(found[1]), plan.spoiled)


def _on_racks(draft: Draft, claimant: Claimant, prospects: Prospects, room: Room) -> Plan | None:
    demand, nodes = claimant.job.demand, draft.state.nodes
    racks: dict[str, list[str]] = {}
    for name in room.roomy(demand, None, draft.now, claimant.until):
        racks.setdefault(nodes[name].rack if demand.constraints.same_rack else "", []).append(name)
    plans = (
        on_whole_nodes.cheapest(draft, claimant, prospects, room, rack if demand.constraints.same_rack else None, names)
        for rack, names in racks.items()
    )
    return min((plan for plan in plans if plan is not None), key=lambda plan: plan.cost, default=None)


def _carry_out(draft: Draft, claimant: Claimant, prospects: Prospects, plan: Plan) -> None:
    job = claimant.job
    for ask in plan.asks:
        run = ask.giver.running
        why = _why(draft, claimant, run.job)
        draft.book.give_up(run.job.team, ask.slots)
        if ask.stops:
            draft.preempt(run, job.id, why)
        else:
            draft.shrink(run, ask.keeps, job.id, f"room for {job.id}")
    prospects.ask(plan, job.demand)
    draft.claim(job, plan.placement)


def _why(draft: Draft, claimant: Claimant, victim: Job) -> str:
    owner = next((one for one in claimant.owners if draft.book.lends((one,), victim.team)), None)
    return f"room for {claimant.job.id}, which goes first" if owner is None else f"team {owner} takes its quota back"
