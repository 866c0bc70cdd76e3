"""Classes of failure, each with a retry budget of its own, and the back-off between retries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum


class FailureClass(StrEnum):
    """Why a run did not succeed; a preemption never uses up the budget of an error."""

    PREEMPTED = "preempted"
    INFRASTRUCTURE = "infrastructure"
    TIME_LIMIT = "time_limit"
    OUT_OF_MEMORY = "out_of_memory"
    APPLICATION = "application"
    DATA = "data"
    PERMANENT = "permanent"  # not tried again by itself: the engine refuses it, or the workload cannot work


def may_retry(failure: FailureClass, used: Mapping[str, int], budgets: Mapping[str, int]) -> bool:
    """Whether the budget of this class allows one more run.

    Args:
        failure: how the last run ended.
        used: failures so far of each class, the last one included.
        budgets: retries allowed for each class.
    """
    if failure is FailureClass.PERMANENT:
        return False
    return used.get(failure, 0) <= budgets.get(failure, 0)


def backoff_seconds(job: str, failures: int, *, base: float, limit: float) -> float:
    """Seconds before the next run: doubles with each failure, less up to a quarter so that jobs do not return together.

    The spread is a function of (job, failures): the same inputs give the same wait.
    """
    digest = hashlib.blake2b(f"{job}:{failures}".encode(), digest_size=8).digest()
    spread = int.from_bytes(digest, "big") / 2**64
    wait = min(limit, base * 2.0 ** min(failures - 1, 60))
    return wait * (1 - 0.25 * spread)
