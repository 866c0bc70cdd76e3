"""results/summary.json of a plain run: the model, what it costs, and how well it does."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator.base.files import write_json
from orchestrator.recipes.regnet import TrainingOutcome
from orchestrator.training.digest import parameters_digest

SUMMARY_FILE = "summary.json"


def summarise(outcome: TrainingOutcome) -> dict[str, Any]:
    """The document; evaluates the test split, which is done once, for the model of the last epoch.

    Every worker of the group calls this.
    """
    recipe, metrics = outcome.recipe, outcome.metrics
    images = recipe.images
    return {
        "kind": "regnet",
        "parameters": asdict(recipe.parameters),
        "complexity": asdict(recipe.complexity),
        "epochs": 0 if metrics is None else metrics.epoch,
        "samples": outcome.samples,
        "train_loss": None if metrics is None else metrics.train_loss,
        "val_loss": None if metrics is None else metrics.val_loss,
        "val_error": None if metrics is None else metrics.val_error,
        **_on_test(outcome),
        "dataset": {"name": images.description.name, "version": images.index.version, "splits": images.sizes},
        "parameters_sha256": parameters_digest(outcome.model),
        "exact_until": outcome.exact_until,
        "fingerprint": dict(outcome.fingerprint),
    }


def _on_test(outcome: TrainingOutcome) -> dict[str, float]:
    if not outcome.recipe.samples("test"):
        return {}
    found = outcome.evaluate("test")
    return {"test_loss": found["loss"], "test_error": found["error"], "test_accuracy": 1 - found["error"]}


def write_summary(folder: Path, summary: dict[str, Any]) -> Path:
    """Write it; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SUMMARY_FILE
    write_json(path, summary)
    return path
