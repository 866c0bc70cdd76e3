"""Which failures of a trial are followed by another attempt."""

import pytest

from orchestrator.search.faults import LOST_RETRIES, may_retry, most_failures


@pytest.mark.parametrize(
    ("failures", "failure_class", "allowed"),
    [
        ({}, "application", True),
        ({"application": 1}, "application", True),
        ({"application": 1, "data": 1}, "application", False),
        ({"infrastructure": 4, "out_of_memory": 1}, "application", True),
        ({"application": 2}, "infrastructure", True),
        ({"infrastructure": LOST_RETRIES}, "infrastructure", False),
        ({"infrastructure": LOST_RETRIES - 1, "preempted": 1}, "preempted", False),
        ({"application": 2}, "out_of_memory", True),
        ({"out_of_memory": 1}, "out_of_memory", False),
        ({}, "permanent", False),
    ],
)
def test_each_class_of_failure_is_counted_by_itself(
    failures: dict[str, int], failure_class: str, allowed: bool
) -> None:
    assert may_retry(failures, failure_class, 2) == allowed


def test_without_retries_only_what_was_lost_is_run_again() -> None:
    classes = ("application", "data", "out_of_memory", "infrastructure", "preempted")
    assert [may_retry({}, each, 0) for each in classes] == [False, False, False, True, True]


def test_ray_is_allowed_as_many_failures_as_all_classes_together() -> None:
    for retries in (0, 2, 50):
        used: dict[str, int] = {}
        for failure_class in ("infrastructure", "out_of_memory", "application"):
            while may_retry(used, failure_class, retries):
                used[failure_class] = used.get(failure_class, 0) + 1
        assert sum(used.values()) == most_failures(retries)
