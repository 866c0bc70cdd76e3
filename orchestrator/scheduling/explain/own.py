"""Remedies for what a job itself says: a hold, a back-off, its dependencies, its priority, how much it asks for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from orchestrator.base.text import binary
from orchestrator.lifecycle.reasons import utc
from orchestrator.scheduling.cluster import ANYWHERE, Constraints, Demand
from orchestrator.scheduling.deltas import Delta, Gone, Pends
from orchestrator.scheduling.explain.confirm import stopped_for
from orchestrator.scheduling.explain.trial import Trial
from orchestrator.scheduling.explain.types import Cure, Remedy
from orchestrator.scheduling.explain.words import names, one_of
from orchestrator.scheduling.hurdles import hurdle
from orchestrator.scheduling.jobs import Job
from orchestrator.spec.base import HIGHEST_PRIORITY

_LIMITS = 3
"""Time limits that are tried."""


def first_of_all(job: Job, now: float) -> Remedy | None:
    """What must be so before anything else can start the job; None where nothing stands in its way."""
    if hurdle(job, now) is None:
        return None
    backs_off = job.not_before is not None and job.not_before > now
    texts = ["release it"] if job.held else []
    texts += ["its last run frees its slots"] if job.releasing else []
    texts += [f"{names(job.waits_for)} {'succeeds' if len(job.waits_for) == 1 else 'succeed'}"] if job.waits_for else []
    texts += [f"wait until {utc(job.not_before or 0)}"] if backs_off else []
    kind = Cure.RELEASE if job.held else Cure.DEPENDENCY if job.waits_for else Cure.WAIT
    free = replace(job, held=False, releasing=False, waits_for=(), not_before=None)
    ended: list[Delta] = [Gone(other) for other in job.waits_for if other != job.id]
    return Remedy(
        kind=kind,
        text=", and ".join(texts),
        command=f"orchestrator release {job.id}" if job.held else None,
        deltas=(*ended, Pends(free)),
        at=job.not_before if backs_off else None,
    )


def priority(trial: Trial) -> Remedy | None:
    """The lowest priority with which it starts, where priorities count."""
    if not trial.policy.looks_at_priorities:
        return None
    job = trial.job

    def raised(to: int) -> Remedy:
        text = f"raise its priority to {to} (now {job.priority})"
        return Remedy(Cure.PRIORITY, text, f"orchestrator priority {job.id} {to}", (Pends(replace(job, priority=to)),))

    found = trial.least(job.priority + 1, HIGHEST_PRIORITY, raised)
    if found is None or not (victims := stopped_for(*trial.after(found), trial.policy, job.id)):
        return found
    return replace(found, text=f"{found.text}, which stops {names(victims)}")


def shorter(trial: Trial) -> Remedy | None:
    """The longest time limit with which it would start if it were submitted anew: before a reservation, say."""
    job, now = trial.job, trial.scene.now
    begins = [reserved.at for reserved in trial.scene.reservations.values()]
    begins += [window.start for node in trial.scene.after.nodes.values() for window in node.windows]
    minutes = sorted({int((at - now) // 60) for at in begins if 60 <= at - now < math.inf}, reverse=True)
    takes = 0.0 if job.estimate is None else job.estimate.seconds
    for count in [found for found in minutes if takes <= 60 * found < (job.limit or math.inf)][:_LIMITS]:
        if trial.works(remedy := limited(trial, count)):
            return remedy
    return None


def limited(trial: Trial, minutes: int) -> Remedy:
    """With so short a time limit. Not tried."""
    text = f"submit it anew with a time limit of {minutes} min (--set time_limit={minutes}m), if it needs no longer"
    shortened = replace(_anew(trial, trial.job.demand), limit=60.0 * minutes)
    return Remedy(Cure.SHORTER, text, None, (Pends(shortened),))


def narrower(trial: Trial) -> Remedy | None:
    """With how many workers it would start if it were submitted anew."""
    job, fewest = trial.job, trial.job.demand.workers_min

    def asks(less: int) -> Remedy:
        workers = fewest - less
        text = f"submit it anew with {workers} worker{'' if workers == 1 else 's'} (--set resources.workers={workers})"
        demand = replace(job.demand, workers_min=workers, workers_max=workers)
        return Remedy(Cure.NARROWER, text, None, (Pends(_anew(trial, demand)),))

    return trial.least(1, fewest - 1, asks)


def elsewhere(trial: Trial) -> Iterator[Remedy]:
    """What it would have to ask less of, one thing at a time, to start if it were submitted anew; else all of it."""
    found = False
    for text, demand in _looser(trial.job.demand):
        remedy = Remedy(Cure.ANYWHERE, f"submit it anew {text}", None, (Pends(_anew(trial, demand)),))
        if trial.works(remedy):
            found = True
            yield remedy
    demand = trial.job.demand
    if not found and demand.constraints != ANYWHERE:
        loose = replace(demand, constraints=ANYWHERE)
        remedy = Remedy(Cure.ANYWHERE, "submit it anew for any node", None, (Pends(_anew(trial, loose)),))
        if trial.works(remedy):
            yield remedy


def _looser(demand: Demand) -> Iterator[tuple[str, Demand]]:
    wants = demand.constraints
    if wants.gpu_types:
        yield f"for nodes of any type, not only {one_of(wants.gpu_types)}", _on(demand, replace(wants, gpu_types=()))
    if wants.not_on:
        yield f"for {names(sorted(wants.not_on))} too", _on(demand, replace(wants, not_on=frozenset()))
    if wants.same_rack:
        yield "for any racks, not one", _on(demand, replace(wants, same_rack=False))
    if demand.packed and demand.workers_min > 1:
        yield "with workers that lie anywhere (--set resources.placement=anywhere)", replace(demand, packed=False)
    if demand.memory:
        yield f"with less memory than {binary(demand.memory)} for each worker", replace(demand, memory=1)
    if demand.cpus > 1:
        yield f"with fewer cores than {demand.cpus} for each worker", replace(demand, cpus=1)


def _on(demand: Demand, wants: Constraints) -> Demand:
    return replace(demand, constraints=wants)


def _anew(trial: Trial, demand: Demand) -> Job:
    """The job as if it were submitted now: it stands behind all that are there."""
    scene = trial.scene
    last = max([*(j.sequence for j in scene.before.pending.values()), *_running(trial)], default=0)
    return Job(
        id=trial.job.id,
        sequence=last + 1,
        submitted=scene.now,
        demand=demand,
        team=trial.job.team,
        owner=trial.job.owner,
        priority=trial.job.priority,
        estimate=trial.job.estimate,
        limit=trial.job.limit,
        exponent=trial.job.exponent,
        waits_since=scene.now,
    )


def _running(trial: Trial) -> list[int]:
    return [running.job.sequence for running in trial.scene.before.running.values()]
