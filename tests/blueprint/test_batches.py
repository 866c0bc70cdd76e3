"""How an epoch is cut into batches, and what is said of the last one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.base.errors import UsageError
from orchestrator.blueprint.batches import EpochBatches
from orchestrator.blueprint.cost import TrainingCost
from orchestrator.spec.data import LastBatch

POLICIES = st.sampled_from(["keep", "drop", "wrap"])


@pytest.mark.parametrize(
    ("last", "steps", "samples", "note"),
    [
        ("keep", 4, 10, ""),
        ("drop", 3, 9, "each epoch leaves out the last 1 of its 10 positions"),
        ("wrap", 4, 12, "each epoch uses the first 2 of its 10 positions again"),
    ],
)
def test_what_becomes_of_a_short_last_batch_is_said(last: LastBatch, steps: int, samples: int, note: str) -> None:
    batches = EpochBatches(10, 3, last)
    assert (batches.steps, batches.samples, batches.note) == (steps, samples, note)


@pytest.mark.parametrize(
    ("batch", "note"),
    [
        (5, "each epoch uses the first 2 of its 3 positions again"),
        (6, "each epoch uses each of its 3 positions 2 times"),
        (10, "each epoch uses each of its 3 positions 3 times, and the first 1 once more"),
    ],
)
def test_a_batch_larger_than_the_epoch_says_how_often_each_position_comes(batch: int, note: str) -> None:
    assert EpochBatches(3, batch, "wrap").note == note


@given(st.integers(1, 500), st.integers(1, 500), POLICIES)
def test_the_steps_of_an_epoch_use_its_samples_one_after_the_other(size: int, batch: int, last: LastBatch) -> None:
    if last == "drop" and batch > size:
        return
    batches = EpochBatches(size, batch, last)
    used = [
        position
        for step in range(batches.steps)
        for position in range(batches.start(step), batches.start(step) + batches.size(step))
    ]
    assert used == list(range(batches.samples))
    assert bool(batches.note) == (batches.samples != size)
    assert abs(batches.samples - size) < batch


@pytest.mark.parametrize("last", ["keep", "drop", "wrap"])
def test_a_batch_that_fits_leaves_nothing_to_say(last: LastBatch) -> None:
    assert EpochBatches(12, 3, last) == EpochBatches(12, 3, last)
    assert (EpochBatches(12, 3, last).steps, EpochBatches(12, 3, last).note) == (4, "")


def test_an_epoch_without_a_whole_batch_cannot_drop_its_only_one() -> None:
    with pytest.raises(UsageError, match="no whole batch of 64"):
        EpochBatches(10, 64, "drop")


def test_a_training_costs_what_its_batches_use() -> None:
    costs = [TrainingCost(10, 5, 3, None, last).total_samples for last in ("keep", "drop", "wrap")]
    assert costs == [50, 45, 60]
