"""Running jobs take what is idle and reserved for nobody."""

from __future__ import annotations

from orchestrator.scheduling.draft import Draft


def grow(draft: Draft) -> None:
    """Nobody grows under a policy without elastic widths."""
    if draft.policy.elastic is None or not draft.policy.elastic.grow:
        return
