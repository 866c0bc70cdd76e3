"""Remedies at the cost of others: running jobs that end, waiting ones that step back."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.scheduling.deltas import Gone, Pends
from orchestrator.scheduling.explain.trial import Trial
from orchestrator.scheduling.explain.types import Cure, Remedy
from orchestrator.scheduling.explain.victims import in_the_way, staying
from orchestrator.scheduling.explain.words import names
from orchestrator.scheduling.hurdles import hurdle

_MOST = 12
"""Jobs that one remedy may name."""


def cancel(trial: Trial) -> Remedy | None:
    """Few running jobs whose end makes room: each of them is needed."""
    until = trial.scene.horizon(trial.scene.takes(trial.job))
    chosen = _of_team(trial) or in_the_way(trial.scene, trial.asked, until)
    if not chosen or len(chosen) > _MOST:
        return None

    def ended(jobs: list[str]) -> Remedy:
        text = f"end {names(jobs, _MOST)}, which {'runs' if len(jobs) == 1 else 'run'}"
        return Remedy(Cure.CANCEL, text, f"orchestrator cancel {' '.join(jobs)}", tuple(map(Gone, jobs)))

    return trial.fewest(chosen, ended)


def hold(trial: Trial) -> Remedy | None:
    """Few waiting jobs before it that would have to step back: each of them is needed."""
    scene = trial.scene
    before: list[str] = []
    for job in scene.waiting:
        if job.id == trial.job.id:
            break
        if hurdle(job, scene.now) is None:
            before.append(job.id)
    if len(before) > _MOST:
        before = before[:1]

    def held(jobs: list[str]) -> Remedy:
        text = f"hold {names(jobs, _MOST)}, which {'is' if len(jobs) == 1 else 'are'} before it"
        deltas = tuple(Pends(replace(scene.before.pending[job], held=True)) for job in jobs)
        return Remedy(Cure.HOLD, text, f"orchestrator hold {' '.join(jobs)}", deltas)

    return trial.fewest(before, held)


def _of_team(trial: Trial) -> list[str]:
    """Running jobs of a team that is at its limit, largest first, until it would be below."""
    asked = trial.asked.workers_min * trial.asked.slots
    full = trial.scene.teams.full(trial.job.team, asked)
    if full is None or full.team.limit is None:
        return []
    over, chosen = full.holds + asked - full.team.limit, []
    for running in sorted(staying(trial.scene), key=lambda r: (-r.slots, r.job.id)):
        if over > 0 and any(team.name == full.team.name for team in trial.scene.teams.chain(running.job.team)):
            chosen.append(running.job.id)
            over -= running.slots
    return chosen if over <= 0 else []
