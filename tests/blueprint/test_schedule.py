"""Learning rates against values by hand."""

from __future__ import annotations

import math

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.blueprint.schedule import LearningRate, cosine, linear_warmup


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


def test_epochs_and_iterations_become_samples() -> None:
    schedule = LearningRate.from_epochs(
        0.1,
        samples_per_epoch=1078,
        epochs=12,
        batch_size=64,
        schedule="step",
        steps=(6, 9.5),
        gamma=0.2,
        warmup_iterations=50,
        warmup_factor=0.3,
    )
    assert schedule == LearningRate(
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
        ({"milestones": (5,)}, "for the schedule step"),
        ({"schedule": "step", "milestones": (5, 3)}, "do not rise"),
    ],
)
def test_what_makes_no_schedule_is_refused(settings: dict[str, object], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        LearningRate(**{"base": 0.1, "total_samples": 10, **settings})  # type: ignore[arg-type]
