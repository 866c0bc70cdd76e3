"""Why a running job has its width, and whether it may be shrunk or stopped for others now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.base.errors import NotFound
from orchestrator.base.text import counted, span
from orchestrator.lifecycle.reasons import duration, slots, utc
from orchestrator.scheduling.cluster import Node
from orchestrator.scheduling.explain.standing import Standings
from orchestrator.scheduling.explain.words import places
from orchestrator.scheduling.jobs import Running
from orchestrator.scheduling.late import is_kept
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.scheduling.upper_bound import upper_bound_end
from orchestrator.spec.policy import Policy

_WHOM = {
    "earlier": "jobs before it in the order",
    "priority": "jobs of higher priority",
    "quota": "teams within their quota",
}


def explain_running(snapshot: Snapshot, policy: Policy, job: str, asked: tuple[int, int] | None = None) -> str:
    """Where it runs, why with so many workers, and whether the policy may take some or all of them away now.

    Args:
        snapshot: as it is.
        policy: what is decided by.
        job: that runs.
        asked: the fewest and the most workers that it asked for; a snapshot does not tell while they cannot change.

    Raises:
        NotFound: no such job runs.
    """
    state = State.of(snapshot)
    running = state.running.get(job)
    if running is None:
        raise NotFound(f"{job} does not run", hint="orchestrator jobs lists those that do")
    held = f"holds {slots(running.slots, snapshot.slot_kind)} on {places(running.placement)}"
    said = [
        held,
        _width(running, policy, asked),
        _shrinking(state, running, policy, snapshot.now),
        *_stopping(state, running, policy, snapshot.now),
        _maintenance(state, running, snapshot.now),
    ]
    return "; ".join(filter(None, said))


def _width(running: Running, policy: Policy, range_asked: tuple[int, int] | None) -> str:
    demand, workers = running.job.demand, running.workers
    if running.stopping:
        return "was asked to stop"
    if running.keeps is not None:
        return asked_to_become(running)
    if running.pinned:
        return f"a person chose {counted(workers, 'worker')}"
    if demand.workers_min == demand.workers_max and range_asked is not None and range_asked[0] < range_asked[1]:
        why = "that cannot change while it starts or is resized" if running.saves else "such a job keeps what it has"
        return f"{counted(workers, 'worker')} of {span(*range_asked)} that it asked for: {why}"
    if demand.workers_min == demand.workers_max:
        return f"asked for {counted(workers, 'worker')}"
    asked = f"{counted(workers, 'worker')} of {span(demand.workers_min, demand.workers_max)}"
    if workers == demand.workers_max:
        return f"{asked}: the most it asked for"
    if policy.elastic is None:
        return f"{asked}: that was free when it started, and this policy resizes nobody"
    if policy.elastic.grow == "never":
        return f"{asked}: this policy grows nobody"
    return f"{asked}: more is given where slots are idle and what it saves is worth the pause"


def asked_to_become(running: Running) -> str:
    """What a run that is being resized will have: on one node it shrinks, of several it leaves some, as in a move."""
    target = counted(running.workers, "worker")
    return (
        f"shrinks to {target}" if len(running.placement) == 1 else f"goes to {target} on {places(running.keeps or ())}"
    )


def _shrinking(state: State, running: Running, policy: Policy, now: float) -> str:
    elastic, demand = policy.elastic, running.job.demand
    if running.keeps is not None or demand.workers_min == demand.workers_max:
        return ""
    if elastic is None or elastic.shrink == "never":
        return "is not shrunk: this policy shrinks nobody"
    fewest = elastic.fewest(demand.workers_min, demand.workers_max)
    if running.pinned:
        return "is not shrunk: its width is pinned"
    if running.workers <= fewest:
        return "is not shrunk: it has its fewest workers"
    if now < running.resized:
        return f"is not shrunk before {utc(running.resized + elastic.between)}: it was too slow for its last resize"
    if now < running.resized + elastic.between:
        return f"is not shrunk before {utc(running.resized + elastic.between)}: it changed at {utc(running.resized)}"
    whom = "others" if elastic.shrink == "always" else "jobs before it in the order"
    return f"may be shrunk to {counted(fewest, 'worker')} for {whom}"


def _stopping(state: State, running: Running, policy: Policy, now: float) -> Iterator[str]:
    rule = policy.preemption
    if running.stopping:
        return
    if rule is None:
        yield "is not stopped for others: this policy preempts nobody"
    elif running.job.preemptions >= rule.immune_after:
        yield f"is not stopped for others: it was preempted {counted(running.job.preemptions, 'time')}"
    elif now < (due := running.since + rule.least_run(running.job.preemptions)):
        yield f"is not stopped for others before {utc(due)}: a run has that long at least"
    elif is_kept(running, state.idle.layout, policy, now):
        yield f"is not stopped for others: {_lost(policy)}"
    elif rule.for_whom == "quota" and (kept := _within_quota(state, running)):
        yield f"is not stopped for others: {kept}"
    else:
        pinned = ", of higher priority: it is pinned" if running.pinned else ""
        yield f"may be stopped for {_WHOM[rule.for_whom]}{pinned}{_covered(state, running)}"


def _covered(state: State, running: Running) -> str:
    """Who may not have it stopped, as that would break a quota."""
    standings = Standings(state)
    for team in standings.chain(running.job.team):
        holds = standings.of(team.name).holds
        if team.quota is not None and holds - running.slots < team.quota:
            return f", of team {team.name} alone: it holds {holds}, and its quota of {team.quota} is its own"
    return ""


def _maintenance(state: State, running: Running, now: float) -> str:
    """The first maintenance that it may still run at."""
    if running.stopping:
        return ""
    ahead = maintenance_of(running, state.nodes, now)
    if ahead is None or ahead[0] >= upper_bound_end(running, running.workers, now):
        return ""
    asked = "is asked to save its state and stop" if running.saves else "is stopped, and saves no state,"
    return f"{asked} when {ahead[1]} begins at {utc(ahead[0])}, if it still runs then"


def maintenance_of(running: Running, nodes: Mapping[str, Node], now: float) -> tuple[float, str] | None:
    """When maintenance of the nodes that it stays on begins, and which is the first; None: none is ahead."""
    stays_on = running.placement if running.keeps is None else running.keeps
    found = (nodes[name] for name, _ in stays_on if name in nodes)
    return min(((w.start, w.of(node.name)) for node in found for w in node.windows if now < w.end), default=None)


def _lost(policy: Policy) -> str:
    return f"it is larger than a node and has lost more than {duration(policy.protect_late or 0.0)}"


def _within_quota(state: State, running: Running) -> str:
    standings = Standings(state)
    for team in standings.chain(running.job.team):
        holds = standings.of(team.name).holds
        if team.quota is not None and holds <= team.quota:
            return f"team {team.name} holds {holds} and is within its quota of {team.quota}"
    return ""
