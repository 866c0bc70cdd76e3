"""Random clusters with jobs, in which nothing is held twice."""

import math
import os
from dataclasses import replace
from random import Random

from hypothesis import settings

from orchestrator.scheduling.cluster import Constraints, Demand, Node, Placement, Share, Window, without
from orchestrator.scheduling.jobs import Estimate, Job, Running
from orchestrator.scheduling.room import Room
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.teams import Team, Usage
from orchestrator.spec.policy import Order, Policy
from orchestrator.spec.presets import PRESETS

NOW = 1000.0
TEAMS = (Team("x", quota=4, limit=12), Team("y", parent="z", quota=3), Team("z", limit=20), Team("w", weight=2.0))
USED = (Usage("x", 1000.1, NOW), Usage("y", 500.7, NOW - 10), Usage("w", 0.3, NOW))


def budget(examples: int) -> settings:
    """So many examples; ten times as many under `make test-full`."""
    return settings(max_examples=examples * (10 if os.environ.get("ORCHESTRATOR_TEST_FULL") else 1), deadline=None)


def node(random: Random, name: str) -> Node:
    slots = random.choice([2, 4, 8, 8, 8])
    windows = ()
    if random.random() < 0.15:
        start = NOW + random.choice([-50, 50, 200])
        windows = (Window(start, start + random.choice([60, 300, math.inf])),)
    return Node(
        name,
        slots,
        gpu_type=random.choice(["a", "a", "b"]),
        cpus=random.choice([0, 4 * slots]),
        memory=random.choice([0, 0, 10 * slots]),
        rack=random.choice(["r1", "r2"]),
        state=random.choice(["up"] * 8 + ["drained", "down"]),
        windows=windows,
    )


def demand(random: Random, elastic: bool) -> Demand:
    fewest = random.choice([1, 1, 1, 2, 3, 4, 8, 12, 20])
    where = Constraints(
        gpu_types=random.choice([(), (), (), ("a",), ("b",)]),
        not_on=random.choice([frozenset(), frozenset(), frozenset({"n1"})]),
        same_rack=random.random() < 0.2,
    )
    return Demand(
        fewest,
        fewest + (random.randrange(4) if elastic else 0),
        slots=random.choice([1, 1, 1, 2]),
        cpus=random.choice([0, 0, 3, 6]),
        memory=random.choice([0, 0, 15]),
        packed=random.random() < 0.8,
        constraints=where,
    )


def job(random: Random, number: int, elastic: bool = False) -> Job:
    submitted = NOW - random.choice([0, 10, 100, 500])
    found = Job(
        f"j-{number}",
        number,
        submitted,
        demand(random, elastic),
        team=random.choice(["x", "y"]),
        priority=random.choice([0, 0, 1]),
        waits_since=submitted,
        worked=random.choice([0.0, 0.0, 30.0]),
    )
    if random.random() < 0.7:
        found = replace(found, limit=float(random.choice([20, 60, 100, 300])))
    if random.random() < 0.5:
        found = replace(found, estimate=Estimate(float(random.choice([10, 50, 200])), random.choice([0.0, 0.5])))
    rare = random.randrange(20)
    if rare == 0:
        found = replace(found, held=True)
    elif rare == 1:
        found = replace(found, not_before=NOW + random.choice([-5, 5]))
    elif rare == 2:
        found = replace(found, waits_for=("j-0",))
    return found


def occupy(random: Random, room: Room, number: int, elastic: bool = False) -> Running | None:
    """A job that runs where there is room for it; it may have been asked to stop or to shrink."""
    found = replace(job(random, number, elastic), held=False, not_before=None, waits_for=())
    workers = random.randint(found.demand.workers_min, found.demand.workers_max)
    placement = room.fit(found.demand, workers, -math.inf, -math.inf)  # it may have begun before a maintenance
    if placement is None:
        return None
    room.take(placement, found.demand)
    since = NOW - random.choice([0, 10, 90, 500])
    return Running(found, placement, since, counted=since, resized=since, keeps=_keeps(random, placement))


def _keeps(random: Random, placement: Placement) -> Placement | None:
    rare = random.randrange(10)
    if rare == 0:
        return ()
    return without(placement, (Share(placement[0].node, 1),)) if rare == 1 else None


def snapshot(random: Random, elastic: bool = False) -> Snapshot:
    nodes = [node(random, f"n{i}") for i in range(random.randint(1, 5))]
    room, running = Room(nodes), []
    for number in range(100, 100 + random.randrange(8)):
        if (found := occupy(random, room, number, elastic)) is not None:
            running.append(found)
    pending = [job(random, number, elastic) for number in range(1, 1 + random.randrange(12))]
    later = Room(nodes)
    for run in running:
        later.take(run.placement if run.keeps is None else run.keeps, run.job.demand)
    for index in range(min(2, len(pending))):
        claim = later.fit(pending[index].demand, pending[index].demand.workers_min, NOW, NOW)
        backs_off = (pending[index].not_before or NOW) > NOW  # nothing is freed for who could not start
        if random.random() < 0.2 and claim is not None and not backs_off:
            later.take(claim, pending[index].demand)
            pending[index] = replace(pending[index], claim=claim)
    return Snapshot(NOW, tuple(nodes), tuple(pending), tuple(running), max_workers=random.choice([None, None, None, 8]))


def rich(random: Random) -> Snapshot:
    """A snapshot with elastic jobs, checkpoints, widths that people chose, and often teams with quotas and limits."""
    found = snapshot(random, elastic=True)
    running = tuple(
        replace(run, saved=random.choice([None, 0.0, 10.3]), pinned=random.random() < 0.2) for run in found.running
    )
    teams, usage = (TEAMS, USED) if random.random() < 0.6 else ((), ())
    return replace(found, running=running, teams=teams, usage=usage)


def _short(policy: Policy) -> Policy:
    changes: dict[str, object] = {}
    if policy.preemption is not None:
        changes["preemption"] = policy.preemption.model_copy(update={"min_run": 5.0, "returned_after": 60.0})
    if policy.elastic is not None:
        changes["elastic"] = policy.elastic.model_copy(update={"between": 5.0})
    return policy.model_copy(update=changes)


HURRIED = [_short(policy) for policy in PRESETS.values()]
"""The presets, with times that fit the seconds in which these worlds live."""
HURRIED.append(HURRIED[0].model_copy(update={"name": "soon", "order": Order(by="shortest", overdue=100.0)}))
