"""The section `optim`: what was not chosen cannot be set, and what is usual depends on the optimizer."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from orchestrator.spec.optim import Optim


def optim(**values: object) -> Optim:
    return Optim.model_validate({"lr": 0.1, **values})


@pytest.mark.parametrize(("optimizer", "decay"), [("sgd", 5e-5), ("lars", 5e-4), ("adamw", 0.05)])
def test_the_usual_weight_decay_depends_on_the_optimizer(optimizer: str, decay: float) -> None:
    assert optim(optimizer=optimizer).weight_decay == decay
    assert optim(optimizer=optimizer, weight_decay=0.3).weight_decay == 0.3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optimizer": "adamw", "momentum": 0.5}, "momentum is for optimizer: sgd or lars"),
        ({"optimizer": "lars", "nesterov": False}, "nesterov is for optimizer: sgd"),
        ({"betas": [0.9, 0.95]}, "betas is for optimizer: adamw"),
        ({"optimizer": "lars", "velocity": "plain"}, "velocity: plain is for optimizer: sgd"),
        ({"trust": 0.02}, "trust is for optimizer: lars"),
        ({"schedule": "step"}, "needs steps"),
        ({"steps": [3.0]}, "steps is for schedule: step"),
        ({"schedule": "step", "steps": [3.0, 2.0]}, "steps must rise"),
        ({"schedule": "constant", "min_lr": 0.01}, "min_lr is for schedule"),
        ({"schedule": "exponential"}, "needs min_lr"),
        ({"min_lr": 0.1}, "less than lr"),
        ({"power": 1.5}, "power is for schedule: polynomial"),
        ({"warmup_iterations": 3, "warmup_epochs": 1.0}, "say the same"),
        ({"warmup": "gradual", "warmup_epochs": 5.0}, "needs warmup_from"),
        ({"warmup": "linear_from_zero"}, "needs warmup_epochs"),
        ({"warmup_from": 0.01}, "warmup_from is for warmup: gradual"),
        ({"betas": [0.9]}, "at least 2"),
        ({"optimizer": "adamw", "momentum": 0.9}, "momentum is for optimizer: sgd or lars"),
        ({"optimizer": "lars", "nesterov": True}, "nesterov is for optimizer: sgd"),
        ({"gamma": 0.1}, "gamma is for schedule: step"),
        ({"warmup_factor": 0.1}, "warmup_factor needs warmup_epochs"),
        ({"warmup": "linear_from_factor", "warmup_iterations": 0}, "needs warmup_epochs"),
        ({"warmup": "linear_from_zero", "warmup_epochs": 5, "warmup_factor": 0.1}, "warmup_factor is for warmup"),
        ({"momentum": 0.0, "velocity": "corrected"}, "velocity: corrected needs momentum"),
        ({"momentum": 0.0, "nesterov": True}, "nesterov: true needs momentum"),
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        optim(**values)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"momentum": 0.0},
        {"momentum": 0.0, "nesterov": False, "warmup_iterations": 10},
        {"optimizer": "lars", "momentum": 0.0},
        {"optimizer": "lars", "velocity": "corrected", "schedule": "polynomial"},
        {"optimizer": "adamw", "betas": [0.9, 0.95], "undecayed": "vectors", "layer_decay": 0.75},
        {"schedule": "step", "steps": [30, 60], "warmup": "gradual", "warmup_from": 0.01, "warmup_epochs": 5.0},
    ],
)
def test_all_values_written_down_are_read_as_the_same(values: dict[str, object]) -> None:
    found = optim(**values)
    assert Optim.model_validate_json(found.model_dump_json()) == found
    assert Optim.model_validate(found.model_dump()) == found
