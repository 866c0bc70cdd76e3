"""Calls of an engine, a few at a time."""

import pytest

from orchestrator.base.errors import BackendUnavailable, Busy
from orchestrator.control.pool import AT_ONCE, all_at_once


@pytest.mark.parametrize(("error", "begun"), [(BackendUnavailable, 0), (Busy, 20)])
def test_after_a_call_that_was_not_answered_no_other_is_begun_unless_it_was_only_busy(
    error: type[BackendUnavailable], begun: int
) -> None:
    calls = list[int]()

    def fail() -> None:
        raise error("no answer", hint="wait")

    results = all_at_once([*[fail] * AT_ONCE, *[lambda: calls.append(1)] * 20])
    assert all(isinstance(result, error) for result in results[:AT_ONCE])
    assert len(calls) == begun
