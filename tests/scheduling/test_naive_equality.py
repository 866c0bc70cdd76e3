"""The scheduler decides what a naive re-implementation decides."""

from dataclasses import replace
from random import Random

import naive
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import budget, snapshot

from orchestrator.scheduling.fold import decide
from orchestrator.spec.policy import Order, Policy

ORDERS = [
    Order(by="fifo"),
    Order(by="priority", aging=50.0),
    Order(by="shortest"),
    Order(by="attained", thresholds=[10.0, 100.0]),
]


@pytest.mark.parametrize("backfill", ["none", "skip", "easy", "conservative"])
@given(seed=st.integers(0, 2**32), order=st.sampled_from(ORDERS), depth=st.sampled_from([1, 3, 1000]))
@budget(120)
def test_decisions_are_those_of_a_naive_scheduler(backfill: str, seed: int, order: Order, depth: int) -> None:
    random = Random(seed)
    found = snapshot(random)
    had = (replace(job, attained=random.choice([0.0, 10.0, 50.0, 400.0])) for job in found.pending)
    found = replace(found, pending=tuple(had))
    policy = Policy(order=order, backfill=backfill, depth=depth)
    assert sorted(decide(found, policy).starts, key=str) == sorted(naive.decide(found, policy), key=str)
