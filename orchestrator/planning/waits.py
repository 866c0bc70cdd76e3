"""Why a job waits, as the API tells it: the reason, when it should start, who is before it, and what was tried."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.lifecycle.reasons import Waiting
from orchestrator.planning.outlook import Outlook
from orchestrator.scheduling.explain.types import Cure, Explanation
from orchestrator.spec.answers import JobLine, Remedy, WhyView

_BEFORE = 3


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
            "expected_start": outlook.sure_start_of(job),
            "position": outlook.places[job],
            "queue": len(outlook.order),
            "before": list(before),
            "preemptions": outlook.pending[job].preemptions,
            "remedies": _remedies(found, outlook, more_nodes=more_nodes),
        }
    )


def _remedies(found: Explanation, outlook: Outlook, *, more_nodes: bool) -> list[Remedy]:
    """What was tried at this moment; before that, what comes by itself, as it was played through."""
    possible = [one for one in found.remedies if more_nodes or one.kind is not Cure.NODES]
    tried = [Remedy(text=one.text, command=one.command or "", proved=True) for one in possible]
    if found.kind is Waiting.STARTS or any(one.kind is Cure.WAIT for one in found.remedies):
        return tried
    wait = outlook.wait_for(found.job)
    return tried if wait is None else [Remedy(text=wait.text), *tried]
