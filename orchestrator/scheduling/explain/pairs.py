"""Remedies of two steps: something is changed, and then it is waited for room."""

from __future__ import annotations

import math
from dataclasses import replace

from orchestrator.scheduling.explain import grants, own
from orchestrator.scheduling.explain.trial import Trial
from orchestrator.scheduling.explain.types import Remedy

_FEW = 4
"""Nodes of which each is tried alone."""
_LIMITS = 3
"""Time limits that are tried."""
_USED = 0.9
"""Of the time between the room and the maintenance: what runs now may end a little later than expected."""


def resume_and_wait(trial: Trial) -> Remedy | None:
    """Nodes that would have to take work again, although they are full: it starts on them when jobs end.

    One alone is tried at once, too: it may be enough where all of them together are not.
    """
    away = grants.away(trial)
    choices = [[name] for name in away[:_FEW]] if 1 < len(away) <= _FEW else []
    steps = [grants.back(trial.scene, chosen) for chosen in [*choices, away] if chosen]
    found = [pair for step in steps if (pair := step if trial.works(step) else _then_wait(trial, step)) is not None]
    return min(found, key=lambda pair: (pair.at or 0.0, pair.text), default=None)


def shorter_and_wait(trial: Trial, before: float) -> Remedy | None:
    """A time limit with which it starts before maintenance, once running jobs are over; earlier than `before`."""
    scene, job = trial.scene, trial.job
    room = scene.ends.opening(trial.asked, scene.floor.horizon(0.0)) if scene.floor.windows else None
    if room is None or not scene.now < room.at < before:
        return None
    begins = {window.start for node in scene.after.nodes.values() for window in node.windows}
    minutes = sorted({int(_USED * (at - room.at) // 60) for at in begins if room.at < at < math.inf}, reverse=True)
    least = 60.0 if job.estimate is None else max(60.0, job.estimate.seconds)
    for count in [found for found in minutes if least <= 60 * found < (job.limit or math.inf)][:_LIMITS]:
        pair = _then_wait(trial, own.limited(trial, count))
        if pair is not None and (pair.at or 0.0) < before:
            return pair
    return None


def _then_wait(trial: Trial, first: Remedy) -> Remedy | None:
    later = trial.then(first)
    waits = grants.wait(later)
    return None if waits is None else replace(later.joined(waits), kind=first.kind, command=first.command)
