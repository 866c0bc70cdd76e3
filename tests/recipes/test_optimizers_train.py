"""Each optimizer trains the recipe, replicated and in shards, interrupted or not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.blueprint.workload import parameters_of
from orchestrator.recipes.training import TrainingOutcome, run_training
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.training.config import EngineContext
from orchestrator.training.digest import parameters_digest

CHOICES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "lars": ({"optimizer": "lars", "lr": 4.0, "trust": 0.02, "velocity": "corrected"}, {}),
    "adamw": (
        {"optimizer": "adamw", "lr": 0.01, "schedule": "half_cosine", "layer_decay": 0.9},
        {"clip_norm": 5.0, "ema": {"decay": 0.5}},
    ),
    "sgd in shards": ({"velocity": "corrected"}, {"parallel": "fsdp", "clip_norm": 5.0}),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_a_training_learns_and_goes_on_from_its_checkpoint_with_the_same_bits(
    choice: str, tiny: Callable[..., RegNetWorkload], tmp_path: Path
) -> None:
    optim, train = CHOICES[choice]
    workload = tiny(optim=optim, train=train)

    def run(checkpoints: Path | None = None, stop: Callable[[], bool] = lambda: False) -> TrainingOutcome:
        context = EngineContext(device=torch.device("cpu"), stop=stop)
        return run_training(workload, parameters_of(workload.model), context, checkpoints=checkpoints)

    undisturbed = run()
    assert undisturbed.metrics is not None
    assert undisturbed.metrics.val_error is not None
    assert undisturbed.metrics.val_error < 0.7
    answers = iter([False] * 12 + [True] * 100)
    assert run(tmp_path, lambda: next(answers)).result.state == "stopped"
    assert parameters_digest(run(tmp_path).result.model) == parameters_digest(undisturbed.result.model)
