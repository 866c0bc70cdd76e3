import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import datasets
from orchestrator.base.errors import DataError, NotFound
from orchestrator.data.build import build
from orchestrator.data.converters.hugging_face import scan
from orchestrator.data.decode import decode
from orchestrator.spec.card import DatasetCard

datasets.disable_progress_bars()

FEATURES = datasets.Features(
    {
        "img": datasets.Image(),
        "label": datasets.ClassLabel(names=["zebra", "ant"]),
        "words": datasets.Sequence(datasets.Value("string")),
        "caption": datasets.Value("string"),
    }
)


def picture(number: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8))


def some(count: int) -> datasets.Dataset:
    rows = {
        "img": [picture(number) for number in range(count)],
        "label": [number % 2 for number in range(count)],
        "words": [[f"w{number}"] * (number % 3) for number in range(count)],
        "caption": [f"caption {number}" for number in range(count)],
    }
    return datasets.Dataset.from_dict(rows, features=FEATURES)


def hub_card(**keys: Any) -> DatasetCard:
    return DatasetCard.model_validate(
        {
            "name": "saved",
            "title": "A saved data set",
            "converter": "hugging_face",
            "source": "folder",
            "columns": {
                "image": {"type": "image", "field": "img"},
                "label": {"type": "label"},
                "tags": {"type": "text_list", "field": "words"},
                "text": {"type": "text", "field": "caption"},
            },
            "splits": {"train": 0.5, "test": 0.5},
        }
        | keys
    )


def test_a_saved_data_set_has_its_rows_and_the_names_of_its_classes(tmp_path: Path) -> None:
    some(10).save_to_disk(str(tmp_path / "saved"), num_shards=3)
    found = scan(hub_card(), tmp_path / "saved")
    assert found.classes == ("zebra", "ant")
    records = [sample.read() for sample in found.samples]
    assert [record["text"] for record in records] == [f"caption {number}" for number in range(10)]
    assert [record["label"] for record in records] == [number % 2 for number in range(10)]
    assert records[5]["tags"] == ["w5", "w5"]
    assert np.array_equal(decode(records[7]["image"], 3), np.asarray(picture(7)))
    assert [sample.stratum for sample in found.samples] == [number % 2 for number in range(10)]


def test_batches_are_found_wherever_they_lie_in_a_file(tmp_path: Path) -> None:
    many = datasets.Dataset.from_dict({"text": [str(number) for number in range(2500)]})
    many.save_to_disk(str(tmp_path / "saved"))
    card = hub_card(columns={"text": {"type": "text"}})
    found = scan(card, tmp_path / "saved")
    assert [found.samples[place].read()["text"] for place in (2499, 0, 1000, 999, 1700)] == [
        "2499",
        "0",
        "1000",
        "999",
        "1700",
    ]


def test_a_dictionary_of_data_sets_has_its_own_splits(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": some(4), "holdout": some(2)}).save_to_disk(str(tmp_path / "saved"))
    report = build(hub_card(splits={"train": "train", "test": "holdout"}), tmp_path / "saved", tmp_path / "out")
    assert report.rows == {"train": 4, "test": 2}
    assert report.skipped == ()
    with pytest.raises(NotFound, match="no split 'dev'") as caught:
        scan(hub_card(splits={"train": "train", "validation": "dev"}), tmp_path / "saved")
    assert "train, holdout" in caught.value.hint
    with pytest.raises(DataError, match="has splits of its own"):
        scan(hub_card(), tmp_path / "saved")


def test_a_folder_of_the_hubs_parquet_files_is_read_by_the_same_card(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    some(6).to_parquet(tmp_path / "data/train-00000-of-00001.parquet")
    some(2).to_parquet(tmp_path / "data/test-00000-of-00001.parquet")
    found = scan(hub_card(splits={"train": "train", "test": "test"}), tmp_path)
    assert found.classes == ("zebra", "ant")
    assert [sample.folder for sample in found.samples] == ["train"] * 6 + ["test"] * 2
    assert found.samples[7].read()["text"] == "caption 1"


def test_a_truncated_file_costs_its_last_batches_only(tmp_path: Path) -> None:
    many = datasets.Dataset.from_dict({"text": [str(number) for number in range(3000)]})
    many.save_to_disk(str(tmp_path / "saved"))
    path = next((tmp_path / "saved").glob("*.arrow"))
    path.write_bytes(path.read_bytes()[:-2000])
    found = scan(hub_card(columns={"text": {"type": "text"}}), tmp_path / "saved")
    assert len(found.samples) == 2000
    (entry,) = found.skipped
    assert entry.name == f"{path.name} from row 2000"
    assert entry.reason.startswith("truncated or damaged")


def test_files_that_are_absent_empty_or_outside_are_listed(tmp_path: Path) -> None:
    some(6).save_to_disk(str(tmp_path / "saved"), num_shards=3)
    files = sorted((tmp_path / "saved").glob("*.arrow"))
    files[1].write_bytes(b"")
    state = json.loads((tmp_path / "saved/state.json").read_text())
    state["_data_files"] += [{"filename": "../secret.arrow"}, {"filename": "gone.arrow"}]
    (tmp_path / "saved/state.json").write_text(json.dumps(state))
    found = scan(hub_card(), tmp_path / "saved")
    assert len(found.samples) == 4
    assert [(entry.name, entry.reason) for entry in found.skipped] == [
        (files[1].name, "the file is empty"),
        ("../secret.arrow", "its path leads out of the source"),
        ("gone.arrow", "no such file"),
    ]


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no state.json, dataset_dict.json or Parquet file"):
        scan(hub_card(), tmp_path)
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(DataError, match="does not list the Arrow files"):
        scan(hub_card(), tmp_path)
