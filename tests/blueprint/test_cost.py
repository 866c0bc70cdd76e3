"""The arithmetic of a training."""

from __future__ import annotations

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.blueprint.complexity import Complexity
from orchestrator.blueprint.cost import TrainingCost


def test_a_short_last_batch_is_a_step() -> None:
    cost = TrainingCost(samples=1078, epochs=12, batch_size=64)
    assert (cost.steps_per_epoch, cost.steps, cost.total_samples) == (17, 204, 12936)


@pytest.mark.parametrize(("slice_samples", "workers"), [(None, 1), (32, 4), (50, 3), (500, 1)])
def test_virtual_workers_are_the_slices_of_a_batch(slice_samples: int | None, workers: int) -> None:
    assert TrainingCost(1000, 1, 128, slice_samples).virtual_workers == workers


def test_backward_costs_twice_the_forward_pass() -> None:
    cost = TrainingCost(samples=100, epochs=3, batch_size=10)
    assert cost.forward_flops(Complexity(flops=7)) == 2100
    assert cost.total_flops(Complexity(flops=7)) == 6300


@pytest.mark.parametrize("sizes", [(0, 1, 1, None), (1, 0, 1, None), (1, 1, 0, None), (1, 1, 1, 0)])
def test_nothing_may_be_zero(sizes: tuple[int, int, int, int | None]) -> None:
    with pytest.raises(UsageError, match="positive"):
        TrainingCost(*sizes)
