"""`explain`: why one job waits, with remedies that were tried; `explain_all`: why every waiting job does."""

from __future__ import annotations

from orchestrator.lifecycle.reasons import Waiting
from orchestrator.scheduling.decisions import Start
from orchestrator.scheduling.explain.diagnose import Diagnosis
from orchestrator.scheduling.explain.scene import Scene
from orchestrator.scheduling.explain.types import Explanation
from orchestrator.scheduling.explain.words import places
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.spec.policy import Policy


def explain_all(snapshot: Snapshot, policy: Policy) -> dict[str, Explanation]:
    """Why every waiting job waits, in the order of the queue, those that start now first; without remedies."""
    scene = Scene(snapshot, policy)
    found = {start.job: _starting(scene.before.pending[start.job], start) for start in scene.decisions.starts}
    diagnosis = Diagnosis(scene)
    for ahead, job in enumerate(scene.waiting):
        kind, text, short, until, expected = diagnosis.why(job)
        found[job.id] = Explanation(job.id, kind, text, short, since(job), until, expected, ahead)
    return found


def since(job: Job) -> float:
    """Since when it waits now."""
    return max(job.submitted, job.waits_since)


def _starting(job: Job, start: Start) -> Explanation:
    workers = f"{start.workers} worker{'' if start.workers == 1 else 's'}"
    text = f"starts now with {workers} on {places(start.placement)}"
    return Explanation(job.id, Waiting.STARTS, text, "starts now", since(job))
