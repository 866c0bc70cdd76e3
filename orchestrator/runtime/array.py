"""Pure: ranks that know nothing of each other (`Launch.array`): whose end concerns the run, and how it ended.

The rank that does the last of the work says how the run ended; the others have `left` before, or were lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.runtime.outcome import Outcome, RankEnd, judge_failure, judge_success


def concerns_all(end: RankEnd) -> bool:
    """Whether a rank said how the run ended; one that was lost, or has left, is no affair of the others."""
    return end.marker is not None and end.marker.outcome in {"succeeded", "failed"}


def judge_array(ends: Sequence[RankEnd]) -> Outcome:
    """How the part of these ranks ended, all of which have.

    Returns:
        The word of the one that spoke for all; otherwise `stopped` where each went in good order, and `failed` where
        one was lost: who takes over its work, if anybody is left elsewhere, is not to be seen from here.
    """
    spoke = [end for end in ends if concerns_all(end)]
    if any(end.succeeded for end in spoke):
        return judge_success([end for end in spoke if end.succeeded])
    lost = spoke or [end for end in ends if end.marker is None]
    if lost:
        return judge_failure(lost)
    return Outcome("stopped", "every worker has left", cause="drain")
