"""Training on a dataset that lies at a URL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from orchestrator.blueprint.workload import parameters_of
from orchestrator.data.remote.upload import publish
from orchestrator.recipes.training import run_training
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.training.digest import parameters_digest


def test_a_url_gives_the_same_parameters_as_the_folder_that_was_published(
    tiny: Callable[..., RegNetWorkload], digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_CACHE_DIR", str(tmp_path / "cache"))
    url = "memory://bucket/digits"
    publish(digits, url)
    found = []
    for dataset in (str(digits), url):
        workload = tiny(data={"dataset": dataset}, train={"epochs": 1})
        outcome = run_training(workload, parameters_of(workload.model))
        found.append((parameters_digest(outcome.result.model), outcome.recipe.identity, outcome.history[0].val_error))
    assert found[0] == found[1]
    fsspec.filesystem("memory").rm("/bucket", recursive=True)
