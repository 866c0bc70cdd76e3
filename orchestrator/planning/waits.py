"""Why a job waits, as the API tells it: the reason, when it should start, who is before it, and what was tried."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.lifecycle.reasons import Waiting
from orchestrator.planning.outlook import Outlook
from orchestrator.scheduling.explain.types import Cure, Explanation
from orchestrator.scheduling.explain.words import names
from orchestrator.spec.answers import JobLine, Moment, Remedy, WhyView

_BEFORE = 3
_RESUME = "orchestrator cluster resume"
_FIRST = frozenset({Waiting.HELD, Waiting.DEPENDENCY, Waiting.LIMIT, Waiting.TOO_LARGE})
"""These jobs wait for something that no waiting brings."""


def just_before(job: str, outlook: Outlook) -> tuple[str, ...]:
    """The next ones before a waiting job, nearest last."""
    place = outlook.places[job] - 1
    return outlook.order[max(0, place - _BEFORE) : place]


def waiting_view(told: WhyView, outlook: Outlook, before: Sequence[JobLine], *, more_nodes: bool) -> WhyView:
    """The answer for a job that waits.

    Args:
        told: what else is known of it.
        outlook: of the queue.
        before: lines of those just before it.
        more_nodes: whether the cluster may get more nodes.
    """
    job = told.job
    found = outlook.explained(job)
    return told.model_copy(
        update={
            "now": outlook.now,
            "kind": str(found.kind),
            "reason": found.text,
            "since": found.since,
            "expected_start": outlook.sure_start_of(job) or _after_waiting(found, outlook),
            "position": outlook.places[job],
            "queue": len(outlook.order),
            "before": list(before),
            "preemptions": outlook.pending[job].preemptions,
            "remedies": _remedies(found, outlook, more_nodes=more_nodes),
        }
    )


def _after_waiting(found: Explanation, outlook: Outlook) -> Moment | None:
    """When a job that is not in sight starts at the latest: nobody has to do anything but wait."""
    if found.kind in _FIRST:
        return None
    waits = (one.at for one in found.remedies if one.kind is Cure.WAIT and one.at is not None)
    return next((outlook.latest_of(found.job, at) for at in waits), None)


def _remedies(found: Explanation, outlook: Outlook, *, more_nodes: bool) -> list[Remedy]:
    """What was tried at this moment; before that, what comes by itself, as it was played through."""
    possible = [one for one in found.remedies if more_nodes or one.kind is not Cure.NODES]
    tried = [Remedy(text=one.text, command=one.command or "", proved=True) for one in possible]
    kinds = {one.kind for one in found.remedies}
    if found.kind is Waiting.STARTS or Cure.WAIT in kinds:
        return tried
    wait = outlook.wait_for(found.job)
    if wait is not None:
        return [Remedy(text=wait.text), *tried]
    return tried if found.kind is not Waiting.NODES or Cure.RESUME in kinds else [*_resumed(found.job, outlook), *tried]


def _resumed(job: str, outlook: Outlook) -> list[Remedy]:
    """Its turn comes some time after the nodes that are drained take work again."""
    drained, after = outlook.resumed_for(job)
    wait = after.wait_for(job) if drained else None
    if wait is None:
        return []
    return [Remedy(text=f"resume {names(drained)}, and {wait.text}", command=f"{_RESUME} {' '.join(drained)}")]
