"""Trainings on a real Slurm, and what its tests ask of them: who shares their work, and on which nodes."""

from __future__ import annotations

from typing import Any

from orchestrator.rundir.membership import newest_view
from orchestrator.testing.lab import Lab

SLURM: dict[str, Any] = {
    "partition": "batch",
    "growth": {"partition": "spare", "least": 1.0, "rest": 1.0},
    "look_every": 0.5,
    "warn_before": 30.0,
}


def whole_nodes(document: dict[str, Any], workers: str | int) -> dict[str, Any]:
    """The training with workers that take a node each."""
    return {**document, "resources": {"workers": workers, "memory_per_worker": "40GiB"}}


def nodes_of(lab: Lab, job: str) -> dict[int, str]:
    """The node of each worker that shares the work of its newest run, as the engine sees it, by the worker's number."""
    run = lab.job(job).runs[-1]
    view = newest_view(lab.run(job, run.number))
    found = dict[int, str]()
    for number in () if view is None else view.numbers:
        agent = number // 1000
        allocation, place = (f"{run.id}.{agent}", 0) if agent >= 100 else (f"{run.id}.0", agent)
        found[number] = lab.backend.observe([allocation])[allocation].nodes[place]
    return found


def members(lab: Lab, job: str) -> int:
    """How many workers share the work of its newest run."""
    runs = lab.job(job).runs
    view = newest_view(lab.run(job, runs[-1].number)) if runs else None
    return 0 if view is None else len(view.members)
