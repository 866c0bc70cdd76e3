import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from orchestrator.base.errors import DataError
from orchestrator.data.build import build
from orchestrator.data.converters import lvis
from orchestrator.data.index import DatasetIndex
from orchestrator.data.reader import ShardedDataset
from orchestrator.spec.card import DatasetCard
from orchestrator.spec.load import load_card

Picture = Callable[..., np.ndarray]
Json = dict[str, Any]

CATEGORIES = [
    {"id": 3, "name": "zebra", "synset": "zebra.n.01", "frequency": "f", "image_count": 900, "instance_count": 2000},
    {
        "id": 1,
        "name": "aerosol_can",
        "synset": "aerosol.n.02",
        "frequency": "c",
        "image_count": 64,
        "instance_count": 109,
    },
    {"id": 2, "name": "stirrer", "synset": "stirrer.n.02", "frequency": "r", "image_count": 8, "instance_count": 9},
]


def image(number: int, folder: str, negative: list[int], not_exhaustive: list[int]) -> Json:
    return {
        "id": number,
        "coco_url": f"http://images.cocodataset.org/{folder}/{number:012d}.png",
        "height": 20,
        "width": 30,
        "neg_category_ids": negative,
        "not_exhaustive_category_ids": not_exhaustive,
    }


def instance(number: int, image: int, category: int) -> Json:
    polygon = [2.5, 3.5, 12.0, 3.25, 7.75, 15.5]
    about = {"id": number, "image_id": image, "category_id": category}
    return about | {"bbox": [2.5, 3.25, 9.5, 12.25], "area": 57.0625, "segmentation": [polygon]}


@pytest.fixture
def documents(tmp_path: Path, picture: Picture) -> dict[str, Json]:
    """A training image, and two validation images of which one lies in COCO's training folder."""
    images = {
        "train": [image(1, "train2017", [2], [])],
        "val": [image(5, "train2017", [3, 1], [2]), image(6, "val2017", [], [])],
    }
    for entry in [entry for entries in images.values() for entry in entries]:
        path = tmp_path / "source" / "/".join(entry["coco_url"].split("/")[-2:])
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(entry["id"], 30)[:20]).save(path)
    return {
        "train": {"images": images["train"], "annotations": [instance(1, 1, 3)], "categories": CATEGORIES},
        "val": {"images": images["val"], "annotations": [instance(2, 5, 2)], "categories": CATEGORIES},
    }


@pytest.fixture
def write(tmp_path: Path, documents: dict[str, Json]) -> Callable[[], Path]:
    def written() -> Path:
        for split, document in documents.items():
            (tmp_path / "source" / f"lvis_v1_{split}.json").write_text(json.dumps(document))
        return tmp_path / "source"

    return written


@pytest.fixture
def card() -> DatasetCard:
    return load_card("lvis-v1")


def rows(root: Path, split: str) -> dict[int, Json]:
    dataset = ShardedDataset(root, split)
    return {record["image_id"]: record for record in map(dataset.read, range(len(dataset)))}


def test_an_image_lies_in_the_folder_that_its_address_names(
    write: Callable[[], Path], tmp_path: Path, card: DatasetCard
) -> None:
    report = build(card, write(), tmp_path / "out")
    assert (report.rows, report.skipped) == ({"train": 1, "validation": 2}, ())
    names = {number: row["file_name"] for number, row in rows(tmp_path / "out", "validation").items()}
    assert names == {5: "train2017/000000000005.png", 6: "val2017/000000000006.png"}


def test_what_an_image_was_checked_for_is_kept_as_class_numbers(
    write: Callable[[], Path], tmp_path: Path, card: DatasetCard
) -> None:
    build(card, write(), tmp_path / "out")
    row = rows(tmp_path / "out", "validation")[5]
    assert row["labels"].tolist() == [1]
    assert row["negative_labels"].tolist() == [0, 2]
    assert row["not_exhaustive_labels"].tolist() == [1]


def test_the_attributes_hold_the_categories_and_the_groups_of_their_frequency(
    write: Callable[[], Path], tmp_path: Path, card: DatasetCard
) -> None:
    build(card, write(), tmp_path / "out")
    about = DatasetIndex.open(tmp_path / "out").header.description
    assert about.classes == ("aerosol_can", "stirrer", "zebra")
    assert about.attributes["frequency_groups"] == {"r": [1], "c": [0], "f": [2]}
    assert about.attributes["categories"] == sorted(CATEGORIES, key=lambda entry: entry["id"])


def test_an_address_that_leads_out_of_the_source_and_unknown_categories_are_listed(
    write: Callable[[], Path], documents: dict[str, Json], tmp_path: Path, card: DatasetCard
) -> None:
    documents["val"]["images"][0]["neg_category_ids"] = [3, 77]
    documents["val"]["images"] += [image(8, "..", [], []), image(9, "val2017", [], [])]
    report = build(card, write(), tmp_path / "out")
    assert {entry.name: entry.reason for entry in report.skipped} == {
        "lvis_v1_val.json image 5 neg_category_ids 77": "its category is not listed",
        "../000000000008.png": "its path leads out of the source",
        "val2017/000000000009.png": "no such file",
    }
    assert rows(tmp_path / "out", "validation")[5]["negative_labels"].tolist() == [2]


def test_lvis_has_no_crowds_and_says_what_it_has(write: Callable[[], Path], card: DatasetCard) -> None:
    document = card.model_dump()
    document["columns"]["crowd"] = {"type": "int64_list"}
    with pytest.raises(DataError, match=r"no 'crowd'(.|\n)*not_exhaustive_labels"):
        lvis.scan(DatasetCard.model_validate(document), write())
