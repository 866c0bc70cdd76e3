"""From a policy to its rule of backfill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.scheduling.backfill.conservative import Conservative
from orchestrator.scheduling.backfill.easy import Easy, Overdue
from orchestrator.scheduling.backfill.guard import Guard, Open

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft


def guard(draft: Draft) -> Guard:
    """The one that the policy names."""
    match draft.policy.backfill:
        case "none":
            return Open(draft, others_pass=False)
        case "skip":
            return Open(draft, others_pass=True) if draft.policy.order.overdue is None else Overdue(draft)
        case "easy":
            return Easy(draft)
        case "conservative":
            return Conservative(draft, draft.policy.depth)
