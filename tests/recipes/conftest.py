"""A tiny RegNet on the real digits; what starts ranks is importable by these tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.data.build import build
from orchestrator.spec.load import load_card
from orchestrator.spec.regnet import RegNetWorkload

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits, built."""
    folder = tmp_path_factory.mktemp("data") / "digits"
    build(load_card("digits"), None, folder)
    return folder


@pytest.fixture(scope="session")
def tiny(digits: Path) -> Callable[..., RegNetWorkload]:
    """A workload; keyword arguments change its sections: `tiny(train={"epochs": 3})`."""

    def make(**changes: dict[str, Any]) -> RegNetWorkload:
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
        return RegNetWorkload.model_validate({k: _merged(v, changes.get(k, {})) for k, v in document.items()})

    return make


def _merged(section: Any, changes: dict[str, Any]) -> Any:
    return section | changes if isinstance(section, dict) else section
