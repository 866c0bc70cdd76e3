"""Remedies that give more: time, nodes that take work again, new nodes, more for a team."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from orchestrator.lifecycle.reasons import slots, utc
from orchestrator.scheduling.cluster import Node
from orchestrator.scheduling.deltas import Delta, Gone, NodeIs, Teams
from orchestrator.scheduling.expected import expected_end
from orchestrator.scheduling.explain.trial import Trial
from orchestrator.scheduling.explain.types import Cure, Remedy
from orchestrator.scheduling.explain.words import names
from orchestrator.scheduling.room import capacity
from orchestrator.scheduling.teams import Team


def wait(trial: Trial) -> Remedy | None:
    """The earliest time at which it starts by what is known: when jobs end, maintenance ends, runs may be stopped."""
    now, running = trial.scene.now, trial.scene.after.running.values()
    ends = sorted((expected_end(r, now), r.job.id) for r in running if not r.stopping)
    known = [(at, job) for at, job in ends if math.isfinite(at)]
    times = sorted({at for at, _ in known} | set(_moments(trial)))

    def until(index: int) -> Remedy:
        at = times[index]
        gone = [job for end, job in known if end <= at]
        text = f"wait until {utc(at)}"
        if gone:
            text += f", when {names(gone)} should be over"
        return Remedy(Cure.WAIT, text, None, tuple(map(Gone, gone)), at)

    return trial.least(0, len(times) - 1, until)


def _moments(trial: Trial) -> Iterator[float]:
    """Times after now at which something else changes by itself."""
    now = trial.scene.now
    for node in trial.scene.after.nodes.values():
        yield from (window.end for window in node.windows if now < window.end < math.inf)
    if trial.policy.preemption is not None:
        ready = (running.since + trial.policy.preemption.min_run for running in trial.scene.after.running.values())
        yield from (at for at in ready if at > now)
    if trial.policy.elastic is not None:
        ready = (running.resized + trial.policy.elastic.between for running in trial.scene.after.running.values())
        yield from (at for at in ready if at > now)
    if trial.scene.decisions.wake is not None:
        yield trial.scene.decisions.wake


def resume(trial: Trial) -> Remedy | None:
    """The fewest nodes that would have to take work again."""
    job, scene = trial.job, trial.scene
    accepted = scene.whole.accepts(job.demand, 0.0)
    away = [name for name in accepted if scene.after.nodes[name].state != "up"]
    away.sort(key=lambda name: (scene.after.nodes[name].state, name), reverse=True)

    def back(chosen: list[str]) -> Remedy:
        drained = [name for name in chosen if scene.after.nodes[name].state == "drained"]
        down = [name for name in chosen if name not in drained]
        texts = [f"resume {names(drained)}"] if drained else []
        texts += [f"bring {names(down)} up again"] if down else []
        command = f"orchestrator cluster resume {' '.join(drained)}" if drained and not down else None
        deltas = tuple(NodeIs(replace(scene.after.nodes[name], state="up")) for name in chosen)
        return Remedy(Cure.RESUME, " and ".join(texts), command, deltas)

    if len(away) > _MANY:
        return trial.least(1, len(away), lambda count: back(away[:count]))
    return trial.fewest(away[::-1], back)


_MANY = 8


def more_nodes(trial: Trial) -> Remedy | None:
    """How many nodes more, like the largest one that it accepts, or as large as one worker needs."""
    shape = _shape(trial)
    wanted = math.ceil(trial.job.demand.workers_min / max(1, capacity(shape, trial.job.demand)))
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
    asked = trial.job.demand.workers_min * trial.job.demand.slots
    standings = [trial.scene.teams.of(t.name) for t in trial.scene.teams.chain(trial.job.team)]
    preemption = trial.policy.preemption
    if preemption is None or preemption.for_whom != "quota":
        return None
    short = [s for s in standings if s.team.quota is None or s.team.quota < s.holds + asked]
    said = [f"team {s.team.name} a quota of {s.holds + asked} (now {s.team.quota or 'none'})" for s in short]
    raised = _raised(trial, [replace(s.team, quota=s.holds + asked) for s in short])
    remedy = Remedy(Cure.TEAM, f"give {' and '.join(said)}", None, raised)
    return remedy if short and trial.works(remedy) else None


def limits(trial: Trial) -> Remedy | None:
    """Limits high enough for it; None where they are. Not tried."""
    asked = trial.job.demand.workers_min * trial.job.demand.slots
    standings = [trial.scene.teams.of(t.name) for t in trial.scene.teams.chain(trial.job.team)]
    low = [s for s in standings if s.team.limit is not None and s.holds + asked > s.team.limit]
    said = [f"the limit of team {s.team.name} to {s.holds + asked} (now {s.team.limit})" for s in low]
    raised = _raised(trial, [replace(s.team, limit=s.holds + asked) for s in low])
    return Remedy(Cure.TEAM, f"raise {' and '.join(said)}", None, raised) if low else None


def _raised(trial: Trial, changed: list[Team]) -> tuple[Delta, ...]:
    new = {team.name: team for team in changed}
    kept = tuple(new.pop(team.name, team) for team in trial.base.teams)
    return (Teams((*kept, *new.values()), trial.base.usage),)
