"""Small datasets that the tests of `data` read and damage; they share data_kit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from orchestrator.data.decode import encode_png
from orchestrator.data.header import Description
from orchestrator.data.schema import Schema
from orchestrator.data.writer import DatasetWriter, Limits
from orchestrator.spec.card import DatasetCard

sys.path.insert(0, str(Path(__file__).parent))

MakeDataset = Callable[..., Path]


def _picture(number: int, size: int = 6) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quarantine and cache of a test are its own."""
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("ORCHESTRATOR_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def picture() -> Callable[..., np.ndarray]:
    """(number, size=6) -> (size, size, 3): each number has a picture of its own."""
    return _picture


@pytest.fixture
def make_dataset(tmp_path: Path) -> MakeDataset:
    """A maker of datasets: `train` and `test`, images of 6x6 and labels 0..4, a shard every 8 rows."""

    def make(name: str = "small", train: int = 20, test: int = 5, shard_rows: int = 8) -> Path:
        root = tmp_path / name
        schema = Schema.of([("image", "image"), ("label", "label")])
        about = Description(name=name, classes=("a", "b", "c", "d", "e"))
        with DatasetWriter(root, schema, about, limits=Limits(shard_rows=shard_rows, batch_rows=3)) as writer:
            for split, rows in (("train", train), ("test", test)):
                writer.add_split(split)
                for row in range(rows):
                    writer.write(split, {"image": encode_png(_picture(row)), "label": row % 5})
        return root

    return make


@pytest.fixture
def small(make_dataset: MakeDataset) -> Path:
    """One such dataset."""
    return make_dataset()


@pytest.fixture
def folder_card() -> DatasetCard:
    """A card of an image folder with `train` and `test`, two classes, 4 samples held out."""
    return DatasetCard.model_validate(
        {
            "name": "pets",
            "title": "Pets",
            "converter": "image_folder",
            "source": "folder",
            "columns": {
                "image": {"type": "image", "encoding": "jpeg", "channels": 3},
                "label": {"type": "label", "classes": ["cat", "dog"]},
            },
            "splits": {"seed": 3, "train": "train", "test": "test", "validation": 4},
            "statistics": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
        }
    )
