"""Learning rates against values by hand, and against the formulas of their sources."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.blueprint.schedule import LearningRate, cosine, linear_warmup
from orchestrator.blueprint.workload import learning_rate
from orchestrator.spec.optim import Optim
from orchestrator.spec.training import Train

EPOCH = 100
"""Samples of an epoch in the comparisons with sources that count epochs."""


@pytest.mark.parametrize(
    ("samples", "rate"), [(0, 0.4), (250, 0.2 * (1 + math.sqrt(0.5))), (500, 0.2), (1000, 0.0), (2000, 0.0)]
)
def test_cosine_falls_over_half_a_period(samples: int, rate: float) -> None:
    assert LearningRate(base=0.4, total_samples=1000).at(samples) == pytest.approx(rate, abs=1e-15)


@pytest.mark.parametrize(("samples", "rate"), [(0, 1.0), (299, 1.0), (300, 0.5), (599, 0.5), (600, 0.25), (9999, 0.25)])
def test_step_falls_at_its_milestones(samples: int, rate: float) -> None:
    schedule = LearningRate(base=1.0, total_samples=1000, schedule="step", milestones=(300, 600), gamma=0.5)
    assert schedule.at(samples) == rate


def test_constant_stays() -> None:
    schedule = LearningRate(base=0.3, total_samples=10, schedule="constant")
    assert {schedule.at(samples) for samples in range(12)} == {0.3}


@pytest.mark.parametrize(("samples", "rate"), [(0, 0.1), (50, 0.55), (99, 0.991), (100, 1.0), (101, 1.0)])
def test_warm_up_rises_linearly_from_its_factor(samples: int, rate: float) -> None:
    schedule = LearningRate(base=1.0, total_samples=1000, schedule="constant", warmup_samples=100)
    assert schedule.at(samples) == pytest.approx(rate, abs=1e-12)


def test_warm_up_multiplies_the_scheduled_rate() -> None:
    schedule = LearningRate(base=2.0, total_samples=1000, warmup_samples=200, warmup_factor=0.2)
    assert schedule.at(100) == pytest.approx(2.0 * cosine(0.1) * linear_warmup(0.5, 0.2), abs=1e-15)


def test_gradual_warm_up_adds_the_same_at_each_iteration() -> None:
    """Goyal et al., section 2.2: from 0.1, the rate of 256 samples, to 3.2, that of 8192, in 5 epochs."""
    schedule = LearningRate(
        base=3.2,
        total_samples=90 * EPOCH,
        schedule="step",
        milestones=(30 * EPOCH, 60 * EPOCH, 80 * EPOCH),
        warmup_samples=5 * EPOCH,
        warmup="gradual",
        warmup_from=0.1,
    )
    rates = [schedule.at(samples) for samples in range(0, 5 * EPOCH + 1, 10)]
    assert rates[0] == 0.1
    assert rates[-1] == 3.2
    assert {round(b - a, 12) for a, b in pairwise(rates)} == {round(3.1 / 50, 12)}
    assert schedule.at(85 * EPOCH) == pytest.approx(0.0032)


def mae(epoch: float) -> float:
    """MAE's `adjust_learning_rate`: lr 0.2, min_lr 0.01, 2 of 10 epochs of warm-up."""
    if epoch < 2:
        return 0.2 * epoch / 2
    return 0.01 + (0.2 - 0.01) * 0.5 * (1 + math.cos(math.pi * (epoch - 2) / (10 - 2)))


def slowfast(epoch: float) -> float:
    """SlowFast's `get_lr_at_epoch`: cosine over all 10 epochs to 0.01, warm-up from 0.05 in 2."""

    def scheduled(at: float) -> float:
        return 0.01 + (0.2 - 0.01) * (math.cos(math.pi * at / 10) + 1) * 0.5

    return epoch * (scheduled(2) - 0.05) / 2 + 0.05 if epoch < 2 else scheduled(epoch)


def pycls_exp(epoch: float) -> float:
    """`lr_fun_exp` of pycls, BASE_LR 0.2, MIN_LR 0.05 of it, WARMUP_FACTOR 0.1 over 2 of 10 epochs."""
    return 0.2 * 0.05 ** (epoch / 10) * (0.1 * (1 - epoch / 2) + epoch / 2 if epoch < 2 else 1)


def pycls_lin(epoch: float) -> float:
    """`lr_fun_lin` of pycls with the same."""
    falling = (1 - 0.05) * (1 - epoch / 10) + 0.05
    return 0.2 * falling * (0.1 * (1 - epoch / 2) + epoch / 2 if epoch < 2 else 1)


def lars(epoch: float) -> float:
    """Algorithm 1 of You et al.: 0.2 (1 - t / T)^2."""
    return 0.2 * (1 - epoch / 10) ** 2


@pytest.mark.parametrize(
    ("settings", "source"),
    [
        ({"schedule": "half_cosine", "min_lr": 0.01, "warmup": "linear_from_zero", "warmup_epochs": 2.0}, mae),
        ({"min_lr": 0.01, "warmup": "gradual", "warmup_from": 0.05, "warmup_epochs": 2.0}, slowfast),
        ({"schedule": "exponential", "min_lr": 0.01, "warmup_epochs": 2.0}, pycls_exp),
        ({"schedule": "linear", "min_lr": 0.01, "warmup_epochs": 2.0}, pycls_lin),
        ({"schedule": "polynomial"}, lars),
    ],
)
def test_schedules_are_those_of_their_sources(settings: dict[str, object], source: Callable[[float], float]) -> None:
    optim = Optim.model_validate({"lr": 0.2, **settings})
    schedule = learning_rate(optim, Train(epochs=10, batch_size=4), EPOCH)
    for samples in range(0, 10 * EPOCH, 4):
        assert schedule.at(samples) == pytest.approx(source(samples / EPOCH), rel=1e-12)


def test_epochs_and_iterations_become_samples() -> None:
    optim = Optim(
        lr=0.1, schedule="step", steps=[6, 9.5], gamma=0.2, warmup_iterations=50, warmup_factor=0.3, weight_decay=0
    )
    assert learning_rate(optim, Train(epochs=12, batch_size=64), 1078) == LearningRate(
        base=0.1,
        total_samples=12936,
        schedule="step",
        milestones=(6468, 10241.0),
        gamma=0.2,
        warmup_samples=3200,
        warmup_factor=0.3,
    )


def test_samples_seen_are_never_negative() -> None:
    with pytest.raises(ValueError, match="-1"):
        LearningRate(base=0.1, total_samples=10).at(-1)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"base": 0.0}, "positive"),
        ({"base": math.nan}, "positive"),
        ({"total_samples": 0}, "at least one"),
        ({"warmup_factor": 1.5}, "warm-up factor"),
        ({"warmup_samples": -1}, "warm-up"),
        ({"warmup_from": 0.2}, "begins at"),
        ({"milestones": (5,)}, "for the schedule step"),
        ({"schedule": "step", "milestones": (5, 3)}, "do not rise"),
        ({"schedule": "exponential"}, "above 0"),
        ({"minimum": 0.1}, "minimum"),
        ({"schedule": "half_cosine", "warmup_samples": 10}, "begins after it"),
    ],
)
def test_what_makes_no_schedule_is_refused(settings: dict[str, object], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        LearningRate(**{"base": 0.1, "total_samples": 10, **settings})  # type: ignore[arg-type]
