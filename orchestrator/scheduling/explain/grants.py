"""Remedies that give more: time, nodes that take work again, new nodes, more for a team."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace

from orchestrator.lifecycle.reasons import slots, utc
from orchestrator.scheduling.cluster import Node
from orchestrator.scheduling.deltas import Delta, Gone, NodeIs, Runs, Teams
from orchestrator.scheduling.explain.confirm import settled
from orchestrator.scheduling.explain.ends import by_limit, claimed_end
from orchestrator.scheduling.explain.scene import Scene
from orchestrator.scheduling.explain.trial import Trial
from orchestrator.scheduling.explain.types import Cure, Remedy
from orchestrator.scheduling.explain.words import names
from orchestrator.scheduling.room import capacity
from orchestrator.scheduling.teams import Team

_WINDOWS = 3
"""Windows of maintenance before which each it is tried to start."""
_MANY = 8
"""Nodes of which each is tried: whether it takes all but it."""
_WHERE = "by `teams` in the cluster's profile and a new start of its server"


def wait(trial: Trial) -> Remedy | None:
    """The earliest time at which it starts by what is known: when jobs end, maintenance ends, runs may be stopped."""
    known = sorted((at, job) for at, job in _ends(trial.scene) if math.isfinite(at) and job != trial.job.id)
    limited = set(_limited(trial.scene))
    moments = {at: what for at, what in _moments(trial) if trial.scene.now < at < math.inf}
    times = sorted({at for at, _ in known} | set(moments))

    def until(index: int) -> Remedy:
        at = times[index]
        gone = [job for end, job in known if end <= at]
        happens = _over(gone, limited)
        happens += [moments[at]] if moments.get(at) else []
        when = f", when {' and '.join(happens)}" if happens else ""
        deltas = (*_started(trial.scene), *settled(trial.scene.after, at), *map(Gone, gone))
        return Remedy(Cure.WAIT, f"wait until {utc(at)}{when}", None, deltas, at)

    lasts = (*_lasts(trial, times), len(times) - 1)
    return next((found for last in lasts if (found := trial.least(0, last, until)) is not None), None)


def _started(scene: Scene) -> Iterator[Delta]:
    """Who starts now runs by then, as wide as it starts now, and does not wait for more."""
    yield from (Runs(run) for name, run in scene.after.running.items() if name not in scene.before.running)


def _lasts(trial: Trial, times: list[float]) -> list[int]:
    """The last of these times at which a run would not meet the next maintenance: at a later one it would again."""
    takes = trial.scene.takes(trial.job)
    if takes is None or math.isinf(takes.seconds):
        return []
    starts = sorted({window.start for node in trial.scene.after.nodes.values() for window in node.windows})
    found = (bisect_right(times, start - takes.seconds) - 1 for start in starts)
    return sorted({last for last in found if last >= 0})[:_WINDOWS]


def _over(jobs: list[str], limited: set[str]) -> list[str]:
    likely, surely = [j for j in jobs if j not in limited], [j for j in jobs if j in limited]
    said = [f"{names(likely)} should be over"] if likely else []
    over = f"{names(surely)} {'is' if len(surely) == 1 else 'are'} over at the latest (time limit)"
    return said + ([over] if surely else [])


def _limited(scene: Scene) -> Iterator[str]:
    """Jobs of which nothing but their time limit says how long they take."""
    yield from (running.job.id for running in scene.after.running.values() if scene.end_of(running).by_limit)
    yield from (job.id for job in scene.waiting if job.claim is not None and by_limit(job))


def _ends(scene: Scene) -> Iterator[tuple[float, str]]:
    yield from ((scene.end_of(r).at, r.job.id) for r in scene.after.running.values() if not r.stopping)
    yield from ((claimed_end(job, scene.now), job.id) for job in scene.waiting if job.claim is not None)


def _moments(trial: Trial) -> Iterator[tuple[float, str]]:
    """Times at which something else changes by itself, and what."""
    scene, job = trial.scene, trial.job
    preemption, elastic = trial.policy.preemption, trial.policy.elastic
    if scene.decisions.wake is not None:
        yield scene.decisions.wake, ""
    for running in scene.after.running.values():
        if elastic is not None:
            yield running.resized + elastic.between, f"{running.job.id} may be resized again"
        if preemption is not None:
            due = running.since + preemption.least_run(running.job.preemptions)
            yield due, f"{running.job.id} has had the time that a run has at least"
    if trial.policy.asks_after:
        yield job.waits_since + trial.policy.asks_after, "it may have others make room for it"
    if preemption is not None and preemption.returned_after is not None:
        yield job.waits_since + preemption.returned_after, "it may have others stopped again"
    for node in scene.after.nodes.values():
        yield from ((window.end, f"{window.of(node.name)} is over") for window in node.windows)


def resume(trial: Trial) -> Remedy | None:
    """The fewest nodes that would have to take work again."""
    names_away = away(trial)
    if len(names_away) > _MANY:
        return trial.least(1, len(names_away), lambda count: back(trial.scene, names_away[:count]))
    return trial.fewest(names_away[::-1], lambda chosen: back(trial.scene, chosen))


def away(trial: Trial) -> list[str]:
    """Nodes that it accepts and that take no work: first those that are drained."""
    nodes = trial.scene.after.nodes
    away = [name for name in trial.scene.whole.accepts(trial.job.demand, 0.0) if nodes[name].state != "up"]
    return sorted(away, key=lambda name: (nodes[name].state, name), reverse=True)


def back(scene: Scene, chosen: list[str]) -> Remedy:
    """These nodes take work again. Not tried."""
    nodes = scene.after.nodes
    drained = [name for name in chosen if nodes[name].state == "drained" and not nodes[name].taken]
    down = [name for name in chosen if name not in drained]
    texts = [f"resume {names(drained)}"] if drained else []
    texts += [f"bring {names(down)} up again"] if down else []
    command = f"orchestrator cluster resume {' '.join(drained)}" if drained and not down else None
    deltas = tuple(NodeIs(replace(nodes[name], state="up")) for name in chosen)
    return Remedy(Cure.RESUME, " and ".join(texts), command, deltas)


def more_nodes(trial: Trial) -> Remedy | None:
    """How many nodes more, like the largest one that it accepts, or as large as one worker needs."""
    shape = _shape(trial)
    wanted = math.ceil(trial.asked.workers_min / max(1, capacity(shape, trial.asked)))
    taken = set(trial.scene.after.nodes) | trial.job.demand.constraints.not_on
    fresh = [name for i in range(4 * wanted + 4 + len(taken)) if (name := f"new-{i + 1}") not in taken]

    def added(count: int) -> Remedy:
        has = [slots(shape.slots, trial.scene.slot_kind)]
        has += [shape.gpu_type] if shape.gpu_type else []
        has += ["in one rack"] if trial.job.demand.constraints.same_rack and count > 1 else []
        text = f"add {count} node{'' if count == 1 else 's'} of {', '.join(has)}"
        return Remedy(Cure.NODES, text, None, tuple(NodeIs(replace(shape, name=name)) for name in fresh[:count]))

    return trial.least(1, min(len(fresh), 4 * wanted + 4), added)


def _shape(trial: Trial) -> Node:
    demand, scene = trial.job.demand, trial.scene
    accepted = [scene.whole.nodes[name] for name in scene.whole.accepts(demand, 0.0)]
    largest = max(accepted, key=lambda node: (capacity(node, demand), node.name), default=None)
    if largest is not None and capacity(largest, demand) > 0:
        return Node("", largest.slots, largest.gpu_type, largest.cpus, largest.memory, rack="new")
    types = demand.constraints.gpu_types
    usual = max((node.slots for node in scene.after.nodes.values()), default=1)
    has = max(demand.slots, usual)
    workers = has // demand.slots
    return Node("", has, types[0] if types else "", demand.cpus * workers, demand.memory * workers, rack="new")


def team(trial: Trial) -> Remedy | None:
    """A higher limit for its team and those above it, or a quota of its own where quotas take slots back."""
    if (higher := limits(trial)) is not None:
        return higher if trial.works(higher) else None
    asked = trial.asked.workers_min * trial.asked.slots
    own = trial.scene.teams.of(trial.job.team)
    preemption = trial.policy.preemption
    if preemption is None or (own.team.quota is not None and own.team.quota >= own.holds + asked):
        return None
    now = "none" if own.team.quota is None else own.team.quota
    text = f"give team {own.team.name} a quota of {own.holds + asked} (now {now}; {_WHERE})"
    remedy = Remedy(Cure.TEAM, text, None, _raised(trial, [replace(own.team, quota=own.holds + asked)]))
    return remedy if trial.works(remedy) else None


def limits(trial: Trial) -> Remedy | None:
    """Limits high enough for it; None where they are. Not tried."""
    asked = trial.asked.workers_min * trial.asked.slots
    standings = [trial.scene.teams.of(t.name) for t in trial.scene.teams.chain(trial.job.team)]
    low = [s for s in standings if s.team.limit is not None and s.holds + asked > s.team.limit]
    said = [f"the limit of team {s.team.name} to {s.holds + asked} (now {s.team.limit})" for s in low]
    raised = _raised(trial, [replace(s.team, limit=s.holds + asked) for s in low])
    return Remedy(Cure.TEAM, f"raise {' and '.join(said)}, {_WHERE}", None, raised) if low else None


def _raised(trial: Trial, changed: list[Team]) -> tuple[Delta, ...]:
    new = {team.name: team for team in changed}
    kept = tuple(new.pop(team.name, team) for team in trial.scene.before.teams)
    return (Teams((*kept, *new.values()), trial.scene.before.usage),)
