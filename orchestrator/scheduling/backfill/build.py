"""From a policy to its rule of backfill."""

from __future__ import annotations

from orchestrator.scheduling.backfill.conservative import Conservative
from orchestrator.scheduling.backfill.easy import Easy, Overdue
from orchestrator.scheduling.backfill.guard import Guard, Open
from orchestrator.spec.policy import Policy


def guard(policy: Policy, nodes: int) -> Guard:
    """The one that the policy names, for one decision on so many nodes."""
    match policy.backfill:
        case "none":
            return Open(others_pass=False)
        case "skip":
            return Open(others_pass=True) if policy.order.overdue is None else Overdue()
        case "easy":
            return Easy()
        case "conservative":
            return Conservative(policy.depth, nodes)
