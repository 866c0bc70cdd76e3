"""Budgets and back-off."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.lifecycle.failures import FailureClass, backoff_seconds, may_retry


@given(st.sampled_from(FailureClass), st.integers(0, 5), st.integers(1, 8))
def test_a_budget_of_n_allows_n_retries(failure: FailureClass, budget: int, failures: int) -> None:
    allowed = may_retry(failure, {failure: failures}, {failure: budget})
    assert allowed == (failure is not FailureClass.PERMANENT and failures <= budget)


def test_one_class_never_pays_for_another() -> None:
    used = {"preempted": 900, "application": 1}
    assert may_retry(FailureClass.APPLICATION, used, {"preempted": 1000, "application": 1})


@given(st.text(max_size=20), st.integers(1, 1000), st.floats(0.1, 60), st.floats(60, 3600))
def test_the_back_off_doubles_up_to_its_limit_less_at_most_a_quarter(
    job: str, failures: int, base: float, limit: float
) -> None:
    full = min(limit, base * 2.0 ** min(failures - 1, 60))
    wait = backoff_seconds(job, failures, base=base, limit=limit)
    assert 0.75 * full <= wait <= full
    assert wait == backoff_seconds(job, failures, base=base, limit=limit)


def test_jobs_do_not_come_back_together() -> None:
    assert len({backoff_seconds(f"j-{n}", 1, base=10, limit=600) for n in range(50)}) == 50
