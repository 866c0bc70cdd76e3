"""A tiny RegNet on the real digits: the training that tests of whole runs share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.data.build import build
from orchestrator.spec.load import load_card
from orchestrator.spec.regnet import RegNetWorkload


def build_digits(folder: Path) -> Path:
    """The digits, built there."""
    build(load_card("digits"), None, folder)
    return folder


def tiny_workload(digits: Path, **changes: dict[str, Any]) -> RegNetWorkload:
    """A workload on them; keyword arguments change its sections: `train={"epochs": 3}`."""
    document: dict[str, Any] = {
        "name": "tiny",
        "recipe": "regnet",
        "seed": 1,
        "data": {"dataset": str(digits), "image_size": 8, "augment": {"pad_crop": 1}},
        "model": {
            "stem": "cifar",
            "stem_width": 8,
            "depth": 4,
            "w0": 16,
            "wa": 16.0,
            "wm": 2.0,
            "group_width": 8,
        },
        "optim": {"lr": 0.1, "warmup_iterations": 10, "label_smoothing": 0.1},
        "train": {"epochs": 2, "batch_size": 64, "samples_per_virtual_worker": 16},
    }
    document |= {name: {} for name in changes if name not in document}
    return RegNetWorkload.model_validate({k: _merged(v, changes.get(k, {})) for k, v in document.items()})


def _merged(section: Any, changes: dict[str, Any]) -> Any:
    return section | changes if isinstance(section, dict) else section
