"""How often Slurm may be asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.backends.slurm.budget import Budget


def test_a_burst_and_then_one_in_a_while() -> None:
    budget = Budget(10.0, burst=3)
    for _ in range(3):
        assert budget.wait(100.0) == 0
        budget.spend(100.0)
    assert budget.wait(100.0) == 10.0
    assert budget.wait(107.0) == pytest.approx(3.0)
    assert budget.wait(110.0) == 0


def test_a_debt_lets_a_few_more_through_and_is_paid_back() -> None:
    budget = Budget(10.0)
    budget.spend(0.0)
    assert budget.wait(0.0, debt=1) == 0
    budget.spend(0.0)
    assert budget.wait(0.0) == 20.0


def test_a_clock_that_stands_still_gives_nothing_back() -> None:
    budget = Budget(10.0)
    budget.spend(50.0)
    assert budget.wait(40.0) == 10.0
    assert not budget.is_full(50.0)
    assert budget.is_full(60.0)


@given(st.lists(st.floats(0, 30), min_size=1, max_size=200))
def test_in_the_long_run_there_are_no_more_than_the_rate_allows(pauses: list[float]) -> None:
    budget, now, spent = Budget(10.0, burst=3), 0.0, 0
    for pause in pauses:
        now += pause
        if budget.wait(now) <= 0:
            budget.spend(now)
            spent += 1
    assert spent <= 3 + now / 10.0 + 1e-6
