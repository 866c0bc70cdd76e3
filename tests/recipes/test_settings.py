"""From the sections of a workload to the engine's settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.recipes.places import checkpoint_root
from orchestrator.recipes.settings import optimizer_config, train_config
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.optim import Optim
from orchestrator.spec.training import Checkpointing, Elastic, Train
from orchestrator.training.config import EmaConfig
from orchestrator.training.optim import AdamWConfig, LARSConfig, OptimizerConfig, SGDConfig


class Constant:
    def at(self, samples: int, /) -> float:
        return 0.1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, SGDConfig(momentum=0.9, nesterov=True, weight_decay=5e-5)),
        (
            {"velocity": "corrected", "nesterov": False, "undecayed": "nothing"},
            SGDConfig(nesterov=False, weight_decay=5e-5, velocity="corrected", undecayed="nothing"),
        ),
        (
            {"optimizer": "lars", "trust": 0.02, "velocity": "corrected"},
            LARSConfig(trust=0.02, momentum_correction=True),
        ),
        ({"optimizer": "lars", "adapt_undecayed": True}, LARSConfig(adapt_undecayed=True)),
        (
            {"optimizer": "adamw", "betas": [0.9, 0.95], "undecayed": "vectors", "layer_decay": 0.75},
            AdamWConfig(betas=(0.9, 0.95), undecayed="vectors", layer_decay=0.75),
        ),
    ],
)
def test_an_optimizer_has_what_the_workload_says(values: dict[str, object], expected: OptimizerConfig) -> None:
    assert optimizer_config(Optim.model_validate({"lr": 0.1, **values})) == expected


def test_the_sections_of_training_reach_the_engine() -> None:
    train = Train.model_validate(
        {
            "epochs": 3,
            "batch_size": 64,
            "samples_per_virtual_worker": 16,
            "parallel": "fsdp",
            "precision": "bf16",
            "max_steps": 9,
            "accumulate": 2,
            "clip_norm": 1.0,
            "ema": {"decay": 0.99, "every_steps": 4},
            "non_finite": "skip",
            "checkpoint": {"every_epochs": 2, "every": 90.0},
        }
    )
    schedule = Constant()
    found = train_config(
        train, Optim(lr=0.1, weight_decay=0), Elastic(exact=False), schedule, seed=7, last_batch="drop"
    )
    assert found.schedule is schedule
    assert (found.epochs, found.seed, found.exact, found.last_batch) == (3, 7, False, "drop")
    assert (found.plan.batch_size, found.plan.slice_samples) == (64, 16)
    assert (found.parallel, found.precision, found.accumulate, found.clip_norm) == ("fsdp", "bf16", 2, 1.0)
    assert found.max_steps == 9
    assert (found.ema, found.non_finite) == (EmaConfig(0.99, 4), "skip")
    assert (found.checkpoint_every, found.checkpoint_seconds) == (2, 90.0)


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        (None, Path("/jobs/job-a/checkpoints/trial-3")),
        ("/shared/here/", Path("/shared/here/job-a/trial-3")),
        ("s3://bucket/prefix", "s3://bucket/prefix/job-a/trial-3"),
    ],
)
def test_jobs_and_trials_have_places_of_their_own(to: str | None, expected: Path | str) -> None:
    assert checkpoint_root(Checkpointing(to=to), JobDirectory(Path("/jobs/job-a")), "trial-3") == expected
