"""`explain`: why one job waits, with remedies that were tried; `explain_all`: why every waiting job does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.base.errors import NotFound
from orchestrator.lifecycle.reasons import Waiting
from orchestrator.scheduling.decisions import Start
from orchestrator.scheduling.explain.diagnose import Diagnosis
from orchestrator.scheduling.explain.remedies import remedies
from orchestrator.scheduling.explain.scene import NOTHING, Scene
from orchestrator.scheduling.explain.types import Cure, Explanation
from orchestrator.scheduling.explain.words import places
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.spec.policy import Policy


class Reasons:
    """Why waiting jobs wait, each worked out when it is asked for.

    Args:
        state: as it is; not changed.
        policy: what is decided by.
        now: seconds since the epoch.
        ends: when running jobs should be over, where more is known than the state says; for what is told alone.

    Attributes:
        order: of the queue, those that start now first.
        decisions: what the policy does now.
    """

    def __init__(self, state: State, policy: Policy, now: float, ends: Mapping[str, float] = NOTHING) -> None:
        scene = self._scene = Scene(state, policy, now, ends)
        self.decisions = scene.decisions
        self._diagnosis = Diagnosis(scene)
        self._starts = {start.job: start for start in scene.decisions.starts}
        self._waiting = {job.id: (ahead, job) for ahead, job in enumerate(scene.waiting)}
        self.order: tuple[str, ...] = (*self._starts, *self._waiting)

    def of(self, job: str) -> Explanation:
        """Why this job waits, without remedies.

        Raises:
            NotFound: no such job waits.
        """
        if (start := self._starts.get(job)) is not None:
            return _starting(self._scene.before.pending[job], start)
        if job not in self._waiting:
            raise NotFound(f"{job} does not wait", hint="orchestrator queue lists the jobs that do")
        ahead, waiting = self._waiting[job]
        kind, text, short, until, expected = self._diagnosis.why(waiting)
        return Explanation(job, kind, text, short, since(waiting), until, expected, ahead)

    def explained(self, job: str) -> Explanation:
        """Why this job waits, and what would start it; each remedy was tried.

        Raises:
            NotFound: no such job waits.
        """
        found = self.of(job)
        if found.kind is Waiting.STARTS:
            return found
        told = remedies(self._scene, job)
        at = next((remedy.at for remedy in told if remedy.kind is Cure.WAIT and remedy.at is not None), found.expected)
        return replace(found, remedies=told, expected=at)


def explain(snapshot: Snapshot, policy: Policy, job: str) -> Explanation:
    """Why one job waits, and what would start it; each remedy was tried.

    Raises:
        NotFound: no such job waits.
    """
    return Reasons(State.of(snapshot), policy, snapshot.now).explained(job)


def explain_all(snapshot: Snapshot, policy: Policy) -> dict[str, Explanation]:
    """Why every waiting job waits, in the order of the queue, those that start now first; without remedies."""
    reasons = Reasons(State.of(snapshot), policy, snapshot.now)
    return {job: reasons.of(job) for job in reasons.order}


def since(job: Job) -> float:
    """Since when it waits now."""
    return max(job.submitted, job.waits_since)


def _starting(job: Job, start: Start) -> Explanation:
    workers = f"{start.workers} worker{'' if start.workers == 1 else 's'}"
    text = f"starts now with {workers} on {places(start.placement)}"
    return Explanation(job.id, Waiting.STARTS, text, "starts now", since(job))
