"""The scheduler decides what a naive re-implementation decides."""

from random import Random

import naive
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import budget, snapshot

from orchestrator.scheduling.fold import decide
from orchestrator.spec.policy import Order, Policy

ORDERS = [Order(by="fifo"), Order(by="priority", aging=50.0)]


@pytest.mark.parametrize("backfill", ["none", "skip", "easy", "conservative"])
@given(seed=st.integers(0, 2**32), order=st.sampled_from(ORDERS), depth=st.sampled_from([1, 3, 1000]))
@budget(100)
def test_decisions_are_those_of_a_naive_scheduler(backfill: str, seed: int, order: Order, depth: int) -> None:
    found = snapshot(Random(seed))
    policy = Policy(order=order, backfill=backfill, depth=depth)
    assert sorted(decide(found, policy).starts, key=str) == sorted(naive.decide(found, policy), key=str)
