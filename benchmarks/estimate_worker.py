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
    """Train for so many seconds of one core, evaluations included, and write one JSON document."""
    workload = RegNetWorkload.model_validate(document)
    parameters = parameters_of(workload.model)
    found: dict[str, Any] = {}
    began = time.monotonic(), time.process_time()

    def opened(images: ImageSplits) -> None:
        nonlocal began
        found["features"] = dict(features_document(workload, parameters, images.description))
        began = time.monotonic(), time.process_time()

    def tell(kind: str, /, **data: object) -> None:
        if kind == "measured":
            found.update(data)

    context = EngineContext(tell=tell, stop=lambda: time.process_time() - began[1] > seconds)
    run_training(workload, parameters, context, opened=opened)
    # Its part of a core: what others computed meanwhile is no part of what is to be predicted.
    share = (time.process_time() - began[1]) / (time.monotonic() - began[0])
    found |= {name: found[name] * share for name in ("seconds", "evaluation_seconds")}
    write_json(Path(to), found)
