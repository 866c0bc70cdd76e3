"""Which failures of a trial are followed by another attempt: each class of failure is counted by itself."""

from __future__ import annotations

from collections.abc import Mapping

LOST_RETRIES = 5
"""Attempts that were lost with a node or a process are no failure of the trial, and yet do not go on for ever."""
_OUT_OF_MEMORY_RETRIES = 1
_LOST = frozenset({"infrastructure", "preempted"})


def may_retry(failures: Mapping[str, int], failure_class: str, retries: int) -> bool:
    """Whether a trial is run again after a failure.

    Args:
        failures: of the trial in this run before, by the names of `lifecycle.failures`.
        failure_class: of this one.
        retries: of the search, for what the trial itself did wrong.
    """
    if failure_class == "permanent":
        return False
    if failure_class in _LOST:
        return sum(failures.get(each, 0) for each in _LOST) < max(LOST_RETRIES, retries)
    if failure_class == "out_of_memory":
        return failures.get(failure_class, 0) < min(_OUT_OF_MEMORY_RETRIES, retries)
    return sum(count for each, count in failures.items() if each not in _LOST | {"out_of_memory"}) < retries


def most_failures(retries: int) -> int:
    """More attempts than these can never be allowed, whatever their classes."""
    return max(LOST_RETRIES, retries) + min(_OUT_OF_MEMORY_RETRIES, retries) + retries
