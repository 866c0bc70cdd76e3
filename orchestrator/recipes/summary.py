"""results/summary.json of a plain run: the model, what it costs, and how well it does."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator.base.files import write_json
from orchestrator.recipes.training import TrainingOutcome
from orchestrator.training.digest import parameters_digest
from orchestrator.training.evaluation import Evaluation

SUMMARY_FILE = "summary.json"


def summarise(outcome: TrainingOutcome) -> dict[str, Any]:
    """The document; made by the leader, which holds the whole model."""
    recipe, metrics, result = outcome.recipe, outcome.metrics, outcome.result
    images, test = recipe.images, outcome.final.get("test")
    return {
        "kind": "regnet",
        "parameters": asdict(recipe.parameters),
        "complexity": asdict(recipe.complexity),
        "epochs": 0 if metrics is None else metrics.epoch,
        "samples": result.samples,
        "train_loss": None if metrics is None else metrics.train_loss,
        "val_loss": None if metrics is None else metrics.val_loss,
        "val_error": None if metrics is None else metrics.val_error,
        **_on_test(test),
        "dataset": {"name": images.description.name, "version": images.version, "splits": images.sizes},
        "data": {
            "on_corrupt": images.data.on_corrupt,
            "skipped": _skipped(outcome, test),
            "last_batch": images.data.last_batch,
            **({"left_out": result.left_out} if result.left_out else {}),
        },
        "parameters_sha256": parameters_digest(result.model),
        "exact_until": result.exact_until,
        "fingerprint": dict(result.fingerprint),
    }


def _on_test(found: Evaluation | None) -> dict[str, float]:
    if found is None:
        return {}
    loss, error = found.means["loss"], found.means["error"]
    return {"test_loss": loss, "test_error": error, "test_accuracy": 1 - error}


def _skipped(outcome: TrainingOutcome, test: Evaluation | None) -> dict[str, int]:
    """Samples that were corrupt and left out: of the whole training, and of the last evaluation of the other splits."""
    metrics = outcome.metrics
    return {
        "train": outcome.result.skipped,
        "validation": 0 if metrics is None else metrics.val_skipped,
        "test": 0 if test is None else test.skipped,
    }


def write_summary(folder: Path, summary: dict[str, Any]) -> Path:
    """Write it; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SUMMARY_FILE
    write_json(path, summary)
    return path
