import json
from pathlib import Path

import numpy as np
import pytest

from orchestrator.base.errors import ShardCorrupt
from orchestrator.data.index import DatasetIndex
from orchestrator.data.quarantine import Quarantine
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.verify import verify


@pytest.fixture
def quarantine(small: Path) -> Quarantine:
    return Quarantine.of(DatasetIndex.open(small).catalog)


def test_an_entry_names_location_split_rows_and_when_it_was_first_seen(small: Path, quarantine: Quarantine) -> None:
    path = quarantine.add(1, "has records with a wrong checksum", np.array([9]))
    entry = json.loads(path.read_text())
    assert (entry["location"], entry["split"], entry["shard"]) == (str(small), "train", "train-00001.arrow")
    assert (entry["rows"], entry["what"]) == ([[9, 9]], "has records with a wrong checksum")
    assert path.parent.name == entry["version"]


def test_rows_found_later_are_added_and_the_first_time_is_kept(quarantine: Quarantine) -> None:
    first = json.loads(quarantine.add(1, "a", np.array([9, 12])).read_text())
    entry = json.loads(quarantine.add(1, "b", np.array([10, 11, 15])).read_text())
    assert entry["rows"] == [[9, 12], [15, 15]]
    assert entry["first_seen"] == first["first_seen"]


def test_a_whole_shard_is_one_range(quarantine: Quarantine) -> None:
    assert json.loads(quarantine.add(3, "is gone").read_text())["rows"] == [[0, 4]]


def test_reading_damage_writes_it_down_and_the_error_names_the_file(small: Path, quarantine: Quarantine) -> None:
    shard = small / "train-00001.arrow"
    content = shard.read_bytes()
    shard.write_bytes(content[:-5])
    with pytest.raises(ShardCorrupt, match=r"written down in .*train-00001\.arrow\.json"):
        ShardedDataset(small, "train")
    assert [entry["shard"] for entry in quarantine.entries()] == ["train-00001.arrow"]
    shard.write_bytes(content)
    assert len(ShardedDataset(small, "train").read_many(np.arange(20)).rows) == 20


def test_verify_removes_the_entry_of_a_shard_that_is_whole_again(small: Path, quarantine: Quarantine) -> None:
    quarantine.add(1, "was damaged")
    quarantine.add(2, "is gone")
    (small / "train-00002.arrow").unlink()
    verify(small)
    assert [entry["shard"] for entry in quarantine.entries()] == ["train-00002.arrow"]


def test_verify_leaves_the_entry_of_another_copy_alone(small: Path, quarantine: Quarantine) -> None:
    path = quarantine.add(1, "was damaged")
    path.write_text(path.read_text().replace(str(small), "s3://bucket/elsewhere"))
    verify(small)
    assert path.exists()


def test_verify_names_a_shard_of_another_schema_as_such(small: Path, make_dataset, tmp_path: Path) -> None:
    from orchestrator.data.header import Description
    from orchestrator.data.schema import Schema
    from orchestrator.data.writer import DatasetWriter

    shard = small / "train-00001.arrow"
    with DatasetWriter(tmp_path / "o", Schema.of([("text", "text"), ("n", "int64")]), Description(name="o")) as writer:
        writer.write("train", {"text": "x" * 2000, "n": 1})
    other = (tmp_path / "o" / "train-00000.arrow").read_bytes()
    shard.write_bytes(other[: shard.stat().st_size].ljust(shard.stat().st_size, b"\0"))
    problem = next(one for one in verify(small).problems if one.file == shard.name)
    assert problem.range == "train rows 8 to 15"
    assert "no readable Arrow file" in problem.what or "another dataset or schema" in problem.what
