"""The splits of a workload's images: when they are opened, and with what."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from orchestrator.base.errors import Conflict
from orchestrator.data import gpu_decode
from orchestrator.data.build import build
from orchestrator.data.index import DatasetIndex
from orchestrator.recipes.images import ImageSplits
from orchestrator.spec.load import load_card
from orchestrator.spec.regnet import RegNetWorkload

Tiny = Callable[..., RegNetWorkload]


def test_a_split_that_is_opened_late_is_of_the_version_that_was_opened_first(
    tiny: Tiny, digits: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(digits, folder)
    with ImageSplits.open(tiny(data={"dataset": str(folder)}).data, 1) as images:
        shutil.rmtree(folder)
        card = load_card("digits")
        build(card.model_copy(update={"splits": card.splits.model_copy(update={"seed": 99})}), None, folder)
        with pytest.raises(Conflict, match=f"began on version {images.version}"):
            images.loader("test")


def test_one_device_loader_serves_all_loads_of_a_split(
    tiny: Tiny, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    class Counted(gpu_decode.DeviceLoader):
        def __init__(self, *arguments: object) -> None:
            made.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(gpu_decode, "DeviceLoader", Counted)
    data = tiny(data={"decode": "gpu"}).data
    images = ImageSplits(DatasetIndex.open(digits), data, 1, digits, device=torch.device("cpu"))
    for start in (0, 4):
        found, labels = images.load("train", np.arange(start, start + 4, dtype=np.int64), 0)
        assert (found.shape, len(labels)) == ((4, 1, 8, 8), 4)
    assert len(made) == 1
