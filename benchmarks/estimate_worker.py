"""One training of `estimates.py`, in a process of its own, which writes down what it measured of itself.

The training uses the digits, resized to what the workload says; it ends after some seconds of steady steps.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from orchestrator.base.files import write_json
from orchestrator.blueprint.workload import parameters_of
from orchestrator.recipes.images import ImageSplits
from orchestrator.recipes.measured import features_document
from orchestrator.recipes.training import run_training
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.training.config import EngineContext


def train(document: dict[str, Any], seconds: float, to: str) -> None:
    """Train for so many seconds, evaluations included, and write one JSON document."""
    workload = RegNetWorkload.model_validate(document)
    parameters = parameters_of(workload.model)
    found: dict[str, Any] = {}
    began = time.monotonic()

    def opened(images: ImageSplits) -> None:
        nonlocal began
        found["features"] = dict(features_document(workload, parameters, images.description))
        began = time.monotonic()

    def tell(kind: str, /, **data: object) -> None:
        if kind == "measured":
            found.update(data)

    context = EngineContext(tell=tell, stop=lambda: time.monotonic() - began > seconds)
    run_training(workload, parameters, context, opened=opened)
    write_json(Path(to), found)
