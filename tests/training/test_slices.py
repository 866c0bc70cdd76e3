"""How a global batch is cut and shared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.training.slices import SlicePlan, passes, share


@given(batch=st.integers(1, 200), part=st.integers(1, 64), data=st.data())
def test_slices_cover_every_place_of_a_batch_once_and_in_order(batch: int, part: int, data: st.DataObject) -> None:
    plan = SlicePlan(batch, part)
    samples = data.draw(st.integers(1, batch))
    slices = plan.slices(samples)
    assert len(slices) == plan.count
    assert [place for each in slices for place in range(each.start, each.stop)] == list(range(samples))


def test_a_short_last_batch_fills_the_first_slices() -> None:
    assert [len(each) for each in SlicePlan(16, 4).slices(5)] == [4, 1, 0, 0]


def test_the_last_slice_is_shorter_where_slices_do_not_divide_the_batch() -> None:
    assert [len(each) for each in SlicePlan(10, 4).slices(10)] == [4, 4, 2]


@given(count=st.integers(1, 64), workers=st.integers(1, 64))
def test_workers_share_all_slices_contiguously_and_evenly(count: int, workers: int) -> None:
    shares = [share(count, worker, workers) for worker in range(workers)]
    assert [index for each in shares for index in each] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(count=st.integers(1, 64), data=st.data())
def test_every_worker_runs_equally_many_passes(count: int, data: st.DataObject) -> None:
    workers = data.draw(st.integers(1, count))
    all_passes = [passes(count, worker, workers) for worker in range(workers)]
    assert {len(each) for each in all_passes} == {-(-count // workers)}
    assert [index for each in all_passes for index in each if index is not None] == list(range(count))


def test_a_worker_outside_the_world_is_refused() -> None:
    with pytest.raises(ValueError, match="worker 3 is none of 3"):
        share(4, 3, 3)
