"""The scheduler again, without any index: plain lists, everything looked at anew. Slow, short, and obviously right.

It knows fifo, priority, shortest and attained, all four rules of backfill, and gangs of a fixed width; no preemption,
no elasticity.
When jobs should be over it takes from `scheduling.expected`, when they are at the latest from `scheduling.upper_bound`,
and what is expected of them from `scheduling.jobs`; all of them have tests of their own.
"""

import math
from collections.abc import Iterable

from orchestrator.scheduling.cluster import Demand, Node, Placement, Share, workers_of
from orchestrator.scheduling.decisions import Start
from orchestrator.scheduling.expected import expected_end, expected_seconds
from orchestrator.scheduling.hurdles import hurdle
from orchestrator.scheduling.jobs import Job, total_expected
from orchestrator.scheduling.layout import capacity, usable
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.upper_bound import upper_bound
from orchestrator.spec.policy import Policy

Free = dict[str, list[int]]
"""Slots, cores and bytes of each node."""
Held = tuple[float, Placement, Demand]
"""What is held until then."""


def claims_of(found: Snapshot, nodes: dict[str, Node]) -> dict[str, Placement]:
    room, claims = empty(nodes), {}
    for run in found.running:
        take(room, run.placement if run.keeps is None else run.keeps, run.job.demand)
    for job in sorted(found.pending, key=lambda j: j.sequence):
        claim = job.claim
        if claim is None or hurdle(job, found.now) or not all(n in nodes for n, _ in claim):
            continue
        takes = upper_bound(job, workers_of(claim))
        until = found.now if takes == math.inf else found.now + takes
        may = all(usable(nodes[n], job.demand, found.now, until) for n, _ in claim)
        if may and all(fits(nodes[n], room, job.demand) >= w for n, w in claim):
            take(room, claim, job.demand)
            claims[job.id] = claim
    return claims


def decide(found: Snapshot, policy: Policy) -> list[Start]:
    nodes = {node.name: node for node in sorted(found.nodes, key=lambda n: n.name)}
    claims = claims_of(found, nodes)
    idle, stays = empty(nodes), empty(nodes)
    held: list[Held] = []
    for run in found.running:
        keeps = run.placement if run.keeps is None else run.keeps
        if any(w.start <= found.now < w.end for n, _ in keeps if n in nodes for w in nodes[n].windows):
            keeps = ()
        take(idle, run.placement, run.job.demand)
        take(stays, keeps, run.job.demand)
        held.append((expected_end(run, found.now), keeps, run.job.demand))
    starts, reserved = [], []
    for job in sorted(found.pending, key=lambda j: j.sequence):
        if job.id in claims:
            take(stays, claims[job.id], job.demand)
            held.append((found.now + seconds(job, claims[job.id]), claims[job.id], job.demand))
            if all(fits(nodes[n], idle, job.demand) >= w for n, w in claims[job.id]):
                starts.append(Start(job.id, claims[job.id]))
                take(idle, claims[job.id], job.demand)
    for job in sorted(found.pending, key=lambda j: rank(j, policy)):
        workers = job.demand.workers_min
        if job.id in claims or hurdle(job, found.now) or (found.max_workers or workers) < workers:
            continue
        if place(nodes, empty(nodes), job.demand, math.inf, math.inf) is None:
            continue
        takes = upper_bound(job, workers)
        end = found.now + seconds(job, None)
        now = least(idle, free_during(stays, held, reserved, found.now, end, policy))
        placement = place(nodes, now, job.demand, found.now, found.now + takes)
        if placement is not None:
            starts.append(Start(job.id, placement))
            take(idle, placement, job.demand)
            take(stays, placement, job.demand)
            held.append((end, placement, job.demand))
        elif policy.backfill == "none":
            break
        elif len(reserved) < {"skip": 0, "easy": 1, "conservative": policy.depth}[policy.backfill]:
            times = [found.now, *(h[0] for h in held), *(r[1] for r in reserved)]
            times += [w.end for n in nodes.values() for w in n.windows]
            for at in sorted({t for t in times if found.now <= t < math.inf}):
                room = free_during(stays, held, reserved, at, at + seconds(job, None), policy)
                placement = place(nodes, room, job.demand, at, at + takes)
                if placement is not None:
                    reserved.append((at, at + seconds(job, None), placement, job.demand))
                    break
    return starts


def seconds(job: Job, placement: Placement | None) -> float:
    workers = job.demand.workers_min if placement is None else sum(s.workers for s in placement)
    return expected_seconds(job, workers)


def rank(job: Job, policy: Policy) -> tuple[float, ...]:
    if policy.order.by == "fifo":
        return (job.sequence,)
    if policy.order.by == "shortest":
        left = math.inf if job.estimate is None else max(0.0, total_expected(job.estimate, job.worked) - job.worked)
        return (-job.priority, left, job.sequence)
    if policy.order.by == "attained":
        had = [threshold for threshold in policy.order.thresholds if threshold <= job.attained]
        return (-job.priority, len(had), job.sequence)
    aged = 0.0 if policy.order.aging is None else job.submitted / policy.order.aging
    return (aged - job.priority, job.sequence)


def free_during(stays: Free, held: list[Held], reserved: list, start: float, end: float, policy: Policy) -> Free:
    """What stays free from `start` to `end`. Under EASY the one reservation holds for ever."""
    times = {start} | {t for h in held for t in [h[0]]} | {t for r in reserved for t in r[:2]}
    rooms = []
    for at in sorted(t for t in times if start <= t < end or t == start):
        room = {name: list(free) for name, free in stays.items()}
        for until, placement, demand in held:
            if until <= at:
                take(room, placement, demand, -1)
        for begin, until, placement, demand in reserved:
            if begin <= at and (at < until or policy.backfill == "easy"):
                take(room, placement, demand)
        rooms.append(room)
    whole = rooms[0]
    for room in rooms[1:]:
        whole = least(whole, room)
    return whole


def empty(nodes: dict[str, Node]) -> Free:
    return {name: [node.slots, node.cpus, node.memory] for name, node in nodes.items()}


def take(free: Free, placement: Placement, demand: Demand, sign: int = 1) -> None:
    for name, workers in placement:
        if name in free:
            for i, each in enumerate((demand.slots, demand.cpus, demand.memory)):
                free[name][i] -= sign * workers * each


def least(one: Free, other: Free) -> Free:
    return {name: [min(a, b) for a, b in zip(one[name], other[name], strict=True)] for name in one}


def fits(node: Node, free: Free, demand: Demand) -> int:
    slots, cpus, memory = free[node.name]
    most = slots // demand.slots
    if demand.cpus and node.cpus:
        most = min(most, cpus // demand.cpus)
    if demand.memory and node.memory:
        most = min(most, memory // demand.memory)
    return most


def place(nodes: dict[str, Node], free: Free, demand: Demand, now: float, until: float) -> Placement | None:
    """Windows count from `now` to `until`; infinite: none does."""
    those = [n for n in nodes.values() if usable(n, demand, now, until) and capacity(n, demand) > 0]
    racks = sorted({n.rack for n in those}) if demand.constraints.same_rack else [None]
    for rack in racks:
        inside = [n for n in those if rack is None or n.rack == rack]
        if inside and (found := gang(inside, free, demand)) is not None:
            return found
    return None


def gang(nodes: list[Node], free: Free, demand: Demand) -> Placement | None:
    """The fullest node that holds what is left; otherwise the largest wholly empty (scattered: emptiest) one, again."""
    rest, shares = demand.workers_min, []
    most = max(capacity(n, demand) for n in nodes)
    alone = demand.packed and rest <= most
    left = list(nodes)
    while True:
        if rest <= most and (one := fullest(left, free, demand, rest)) is not None:
            return tuple(sorted([*shares, Share(one.name, rest)]))
        whole = [n for n in left if free[n.name][0] == n.slots] if demand.packed else left
        best = min(whole, key=lambda n: (-size(n, free, demand), n.name), default=None)
        if alone or best is None or size(best, free, demand) <= 0:
            return None
        shares.append(Share(best.name, min(rest, size(best, free, demand))))
        left.remove(best)
        rest -= size(best, free, demand)
        if rest <= 0:
            return tuple(sorted(shares))


def size(node: Node, free: Free, demand: Demand) -> int:
    return capacity(node, demand) if demand.packed else fits(node, free, demand)


def fullest(nodes: Iterable[Node], free: Free, demand: Demand, workers: int) -> Node | None:
    enough = [n for n in nodes if fits(n, free, demand) >= workers]
    return min(enough, key=lambda n: (free[n.name][0], n.name), default=None)
