import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.base.errors import UsageError
from orchestrator.data.batches import BatchPlan, Last

steady = settings(derandomize=True, deadline=None, max_examples=100)
samples = st.integers(1, 300)
sizes = st.integers(1, 70)


def counted(plan: BatchPlan) -> list[int]:
    """The positions that count, in order."""
    return [place for step in range(plan.steps) for place in plan.positions(step)[: plan.real(step)].tolist()]


@steady
@given(samples=samples, batch=sizes, last=st.sampled_from(["keep", "pad"]))
def test_kept_and_padded_batches_count_every_position_once(samples: int, batch: int, last: Last) -> None:
    assert counted(BatchPlan(samples, batch, last)) == list(range(samples))


@steady
@given(samples=samples, batch=sizes)
def test_dropping_leaves_out_less_than_a_batch_and_says_so(samples: int, batch: int) -> None:
    if samples < batch:
        with pytest.raises(UsageError, match="no whole batch"):
            BatchPlan(samples, batch, "drop")
        return
    plan = BatchPlan(samples, batch, "drop")
    left = samples % batch
    assert counted(plan) == list(range(samples - left))
    assert plan.note == (f"each epoch leaves out the last {left} of its {samples} positions" if left else "")


@steady
@given(samples=samples, batch=sizes)
def test_wrapping_goes_on_from_the_start_of_the_epoch(samples: int, batch: int) -> None:
    plan = BatchPlan(samples, batch, "wrap")
    assert counted(plan) == list(range(plan.steps * batch))  # which `Order.rows_at` wraps
    assert bool(plan.note) == bool(samples % batch)


@steady
@given(samples=samples, batch=sizes, last=st.sampled_from(["drop", "pad", "wrap"]))
def test_all_batches_but_kept_ones_are_whole(samples: int, batch: int, last: Last) -> None:
    if last == "drop" and samples < batch:
        return
    plan = BatchPlan(samples, batch, last)
    assert {len(plan.positions(step)) for step in range(plan.steps)} == {batch}


def test_padding_repeats_the_last_sample_and_says_how_often() -> None:
    plan = BatchPlan(10, 4, "pad")
    assert plan.positions(2).tolist() == [8, 9, 9, 9]
    assert plan.real(2) == 2
    assert plan.note == "the last batch is filled up with 2 copies of its last sample, which do not count"


def test_a_kept_short_batch_is_nothing_to_speak_of() -> None:
    plan = BatchPlan(10, 4)
    assert plan.positions(2).tolist() == [8, 9]
    assert plan.note == ""
    assert plan.positions(0).dtype == np.int64


def test_no_samples_make_no_batches() -> None:
    with pytest.raises(UsageError):
        BatchPlan(0, 4)
