"""What would start a waiting job: every kind of remedy, each tried on the snapshot before it is told."""

from __future__ import annotations

import math
from collections.abc import Iterator

from orchestrator.scheduling.explain import grants, own, pairs, yields
from orchestrator.scheduling.explain.scene import Scene
from orchestrator.scheduling.explain.trial import Trial
from orchestrator.scheduling.explain.types import Cure, Remedy
from orchestrator.scheduling.explain.words import names


def remedies(scene: Scene, job: str) -> tuple[Remedy, ...]:
    """What would start it, what costs nobody anything first; empty where nothing that was tried does."""
    trial = Trial(scene, job, own.first_of_all(scene.before.pending[job], scene.now))
    alone = _alone(trial)
    if alone is not None and trial.works(alone):
        return (trial.joined(alone) if trial.first is None else trial.first,)
    found = tuple(trial.joined(remedy) for remedy in _candidates(trial))
    if not found and (higher := grants.limits(trial)) is not None:
        trial = trial.then(higher)
        found = tuple(trial.joined(remedy) for remedy in _candidates(trial))
    return tuple(_with_pairs(trial, found))


def _with_pairs(trial: Trial, found: tuple[Remedy, ...]) -> Iterator[Remedy]:
    """Those that were found, and what takes two steps where no single one like it was."""
    kinds = {remedy.kind for remedy in found}
    waits = [remedy for remedy in found if remedy.kind is Cure.WAIT]
    yield from waits
    if Cure.SHORTER not in kinds:
        before = min((remedy.at for remedy in waits if remedy.at is not None), default=math.inf)
        yield from filter(None, [pairs.shorter_and_wait(trial, before)])
    yield from (remedy for remedy in found if remedy.kind is not Cure.WAIT)
    if not kinds & {Cure.WAIT, Cure.RESUME}:
        yield from filter(None, [pairs.resume_and_wait(trial)])


def _alone(trial: Trial) -> Remedy | None:
    """Nothing has to be done but what comes first, or but wait until others, who were asked to, have made room."""
    if trial.first is not None:
        return Remedy(trial.first.kind, "")
    if trial.scene.after.pending.get(trial.job.id, trial.job).claim is None:
        return None
    asked = sorted(r.job.id for r in trial.scene.after.running.values() if r.keeps is not None)
    return Remedy(Cure.WAIT, f"wait until {names(asked)} {'has' if len(asked) == 1 else 'have'} made room")


def _candidates(trial: Trial) -> Iterator[Remedy]:
    single = (
        grants.wait(trial),
        own.priority(trial),
        grants.team(trial),
        grants.resume(trial),
        own.shorter(trial),
        own.narrower(trial),
    )
    yield from filter(None, single)
    yield from own.elsewhere(trial)
    yield from filter(None, (yields.hold(trial), yields.cancel(trial), grants.more_nodes(trial)))
