import json
from hashlib import sha256
from pathlib import Path

import pytest

from orchestrator.base.errors import DataError, NotFound
from orchestrator.base.paths import state_dir
from orchestrator.data.index import DatasetIndex
from orchestrator.data.reader import ShardedDataset


def edit(root: Path, **changes: object) -> None:
    """Change an index and make its checksum anew, as somebody with bad intentions would."""
    path = root / "index.json"
    document = json.loads(path.read_text()) | changes
    document.pop("checksum")
    path.write_text(
        json.dumps(document | {"checksum": sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()})
    )


def test_the_index_alone_says_where_a_row_is(small: Path) -> None:
    index = DatasetIndex.open(small)
    assert index.splits == ("train", "test")
    assert index.locate("train", 0) == ("train-00000.arrow", 0)
    assert index.locate("train", 17) == ("train-00002.arrow", 1)
    assert index.locate("test", 4) == ("test-00000.arrow", 4)


def test_a_split_without_rows_exists(make_dataset) -> None:
    index = DatasetIndex.open(make_dataset(test=0))
    assert index.split("test").rows == 0
    assert index.splits == ("train", "test")


def test_a_folder_without_an_index_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="orchestrator data build"):
        DatasetIndex.open(tmp_path)


def test_a_newer_format_is_refused_by_its_number(small: Path) -> None:
    edit(small, format=2)
    with pytest.raises(DataError, match="dataset format 2; this version reads up to 1"):
        DatasetIndex.open(small)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"format": 1', "\0\0\0", "[" * 100_000], ids=["empty", "list", "cut", "zeros", "nested"]
)
def test_an_index_that_is_no_json_object_is_refused(small: Path, content: str) -> None:
    (small / "index.json").write_text(content)
    with pytest.raises(DataError, match="damaged"):
        DatasetIndex.open(small)


def test_an_index_with_a_missing_part_names_it(small: Path) -> None:
    document = json.loads((small / "index.json").read_text())
    del document["splits"]["train"]["rows"]
    (small / "index.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"splits\.train\.rows"):
        DatasetIndex.open(small)


def test_an_edited_index_does_not_match_its_version(small: Path) -> None:
    edit(small, version="0" * 64)
    with pytest.raises(DataError, match="does not have the content that its version names"):
        DatasetIndex.open(small)


@pytest.mark.parametrize("version", ["../../../evil", "f" * 63, "F" * 64, "f" * 64 + "\n"])
def test_a_version_that_is_no_digest_is_refused(small: Path, version: str) -> None:
    edit(small, version=version)
    with pytest.raises(DataError, match="damaged: version"):
        DatasetIndex.open(small)


@pytest.mark.parametrize("name", ["../../../../pwn", "/etc/pwn", "", "a/b", "train\n"])
def test_a_split_whose_name_is_no_name_is_refused_before_it_names_a_file(small: Path, name: str) -> None:
    splits = json.loads((small / "index.json").read_text())["splits"]
    edit(small, splits={name: splits["train"], "test": splits["test"]})
    with pytest.raises(DataError, match=r"damaged: splits"):
        ShardedDataset(small, name)
    assert not (state_dir() / "quarantine").exists()


def test_a_column_whose_name_is_no_name_is_refused(small: Path) -> None:
    edit(small, columns=[["../image", "image"], ["label", "label"]])
    with pytest.raises(DataError, match=r"damaged: columns"):
        DatasetIndex.open(small)


@pytest.mark.parametrize(("was", "flipped"), [('"small"', '"smalm"'), ('"card": ""', '"card": "1"')])
def test_a_flip_in_a_part_that_the_version_leaves_out_is_found(small: Path, was: str, flipped: str) -> None:
    path = small / "index.json"
    assert was in path.read_text()
    path.write_text(path.read_text().replace(was, flipped))
    with pytest.raises(DataError, match="damaged: it does not have its own checksum"):
        DatasetIndex.open(small)


def test_the_table_of_another_dataset_is_refused(make_dataset) -> None:
    one, other = make_dataset("one"), make_dataset("other", shard_rows=7)
    (one / "table.bin").write_bytes((other / "table.bin").read_bytes())
    with pytest.raises(DataError):
        DatasetIndex.open(one)


@pytest.mark.parametrize("keep", [0, 10, 64, 100])
def test_a_truncated_table_is_refused(small: Path, keep: int) -> None:
    (small / "table.bin").write_bytes((small / "table.bin").read_bytes()[:keep])
    with pytest.raises(DataError, match=r"table\.bin"):
        DatasetIndex.open(small)
