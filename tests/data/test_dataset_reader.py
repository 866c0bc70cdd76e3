import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.base.errors import DataError, NotFound, ShardCorrupt
from orchestrator.data.decode import encode_png
from orchestrator.data.epochs import order_of
from orchestrator.data.header import Description
from orchestrator.data.loader import BatchLoader, LoaderOptions
from orchestrator.data.order import FULL
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.resample import Resample
from orchestrator.data.schema import Schema, decode_value
from orchestrator.data.transform import Transform
from orchestrator.data.writer import DatasetWriter, Limits


def flip(path: Path, offset: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1 << bit
    path.write_bytes(content)


def where(dataset: ShardedDataset, row: int) -> tuple[Path, int, int]:
    """The shard, the offset and the length of a row's image."""
    shard, _ = dataset.index.locate(dataset.split.name, row)
    record = dataset.index.table.records[dataset.split.first_row + row]
    return dataset.index.root / shard, int(record["image.offset"]), int(record["image.length"])


def test_every_row_comes_back_as_it_was_written(small: Path, picture) -> None:
    for split, rows in (("train", 20), ("test", 5)):
        dataset = ShardedDataset(small, split)
        assert len(dataset) == rows
        for row in range(rows):
            record = dataset.read(row)
            assert bytes(record["image"]) == encode_png(picture(row))
            assert record["label"] == row % 5


def test_rows_are_read_in_the_order_asked_for(small: Path) -> None:
    dataset = ShardedDataset(small, "train")
    rows = np.array([19, 0, 8, 7, 0], dtype=np.int64)
    found = dataset.read_many(rows)
    assert [bytes(view) for view in found.values["image"]] == [
        bytes(dataset.read(row)["image"]) for row in rows.tolist()
    ]
    assert found.values["label"].tolist() == [4, 0, 3, 2, 0]


def test_an_image_is_a_view_of_the_mapped_shard_and_no_copy(small: Path) -> None:
    view = ShardedDataset(small, "train").read(3)["image"]
    assert isinstance(view, memoryview)
    assert view.readonly
    assert np.frombuffer(view, np.uint8).base is not None


def test_all_labels_are_there_without_reading_a_shard(small: Path) -> None:
    assert ShardedDataset(small, "train").fixed_column("label").tolist() == [row % 5 for row in range(20)]


def test_columns_of_every_kind_come_back(tmp_path: Path) -> None:
    schema = Schema.of(
        [
            ("video", "video"),
            ("caption", "text"),
            ("boxes", "float32_list"),
            ("tags", "int64_list"),
            ("score", "float64"),
            ("label", "label"),
        ]
    )
    written = [
        {
            "video": bytes([number] * number),
            "caption": "é" * number,
            "boxes": np.arange(number) / 4,
            "tags": range(number),
            "score": number / 3,
            "label": -number,
        }
        for number in range(7)
    ]
    with DatasetWriter(tmp_path / "d", schema, Description(name="d"), limits=Limits(batch_rows=3)) as writer:
        for record in written:
            writer.write("train", record)
    dataset = ShardedDataset(tmp_path / "d", "train")
    for number, record in enumerate(written):
        found = dataset.read(number)
        assert bytes(found["video"]) == record["video"]
        assert (found["caption"], found["score"], found["label"]) == (
            record["caption"],
            record["score"],
            record["label"],
        )
        assert found["boxes"].tolist() == [value / 4 for value in range(number)]
        assert found["tags"].tolist() == list(range(number))


def test_text_is_decoded_as_utf_8() -> None:
    column = Schema.of([("caption", "text")]).columns[0]
    assert decode_value(column, memoryview("日本".encode())) == "日本"


@settings(max_examples=40, deadline=None)
@given(row=st.integers(0, 19), share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_of_an_image_is_caught_and_named(
    tmp_path_factory: pytest.TempPathFactory, row: int, share: float, bit: int
) -> None:
    root = tmp_path_factory.mktemp("flip") / "d"
    with DatasetWriter(root, Schema.of([("image", "image"), ("label", "label")]), Description(name="d")) as writer:
        for number in range(20):
            writer.write("train", {"image": bytes([number]) * (50 + number), "label": number})
    shard, offset, length = where(ShardedDataset(root, "train"), row)
    flip(shard, offset + int(share * length), bit)
    with pytest.raises(
        ShardCorrupt, match=rf"train-00000\.arrow has records with a wrong checksum \(train rows {row}\)"
    ):
        ShardedDataset(root, "train").read_many(np.arange(20, dtype=np.int64))
    shutil.rmtree(root)


def test_a_flipped_bit_of_a_label_is_caught(small: Path) -> None:
    dataset = ShardedDataset(small, "train")
    table = small / "table.bin"
    size = dataset.index.table.records.dtype.itemsize
    field = dataset.index.table.records.dtype.fields["label"][1]
    flip(table, table.stat().st_size - 25 * size + 4 * size + field)
    with pytest.raises(ShardCorrupt, match="rows 4"):
        ShardedDataset(small, "train").read(4)


def flip_a_label(root: Path, row: int) -> None:
    """Of `train`; the file keeps its size."""
    records = ShardedDataset(root, "train").index.table.records
    table = root / "table.bin"
    before = table.stat()
    start = before.st_size - len(records) * records.dtype.itemsize
    flip(table, start + row * records.dtype.itemsize + records.dtype.fields["label"][1])
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns + 1))  # whatever the clock of the file system


def test_a_flipped_bit_of_a_label_is_caught_before_all_labels_are_used(small: Path) -> None:
    whole = ShardedDataset(small, "train")
    assert len(whole.fixed_column("label")) == 20
    flip_a_label(small, 4)
    damaged = ShardedDataset(small, "train")
    with pytest.raises(DataError, match=r"table\.bin is damaged: its SHA-256"):
        damaged.fixed_column("label")
    with pytest.raises(DataError, match=r"table\.bin is damaged"):
        order_of(damaged, seed=0, epoch=0, shuffle=FULL, resample=Resample("class_balanced"))
    with pytest.raises(DataError, match=r"table\.bin is damaged"):
        BatchLoader(damaged, Transform(3, (0.5,) * 3, (0.5,) * 3, size=(6, 6)), LoaderOptions(shuffle_labels=True))
    flip_a_label(small, 4)
    assert len(damaged.fixed_column("label")) == 20


def test_the_table_is_read_once_for_all_labels_of_a_process(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ShardedDataset(small, "train").fixed_column("label")
    monkeypatch.setattr("hashlib.file_digest", lambda *_: pytest.fail("it is read again"))
    ShardedDataset(small, "test").fixed_column("label")


def test_a_split_of_one_unreadable_shard_has_no_rows_under_skip(small: Path) -> None:
    (small / "test-00000.arrow").unlink()
    dataset = ShardedDataset(small, "test", on_corrupt="skip")
    found = dataset.read_many(np.arange(5, dtype=np.int64))
    assert (found.rows.tolist(), found.skipped.tolist()) == ([], [0, 1, 2, 3, 4])
    assert list(found.values["image"]) == []


def test_skip_leaves_corrupt_rows_out_and_counts_them_once(small: Path) -> None:
    shard, offset, _ = where(ShardedDataset(small, "train"), 9)
    flip(shard, offset + 3)
    dataset = ShardedDataset(small, "train", on_corrupt="skip")
    for _ in range(2):
        found = dataset.read_many(np.array([8, 9, 10], dtype=np.int64))
        assert found.rows.tolist() == [8, 10]
        assert found.skipped.tolist() == [9]
        assert found.values["label"].tolist() == [3, 0]
    assert dataset.corrupt_rows == {9}


def test_a_single_corrupt_record_is_never_returned_even_under_skip(small: Path) -> None:
    shard, offset, _ = where(ShardedDataset(small, "train"), 9)
    flip(shard, offset + 3)
    with pytest.raises(ShardCorrupt, match="orchestrator data verify"):
        ShardedDataset(small, "train", on_corrupt="skip").read(9)


def test_a_truncated_shard_is_refused_at_opening(small: Path) -> None:
    shard = small / "train-00001.arrow"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(ShardCorrupt, match=r"train-00001\.arrow has \d+ bytes, \d+ expected \(train rows 8 to 15\)"):
        ShardedDataset(small, "train")
    assert len(ShardedDataset(small, "test")) == 5


def test_a_missing_shard_is_named(small: Path) -> None:
    (small / "train-00002.arrow").unlink()
    with pytest.raises(ShardCorrupt, match=r"train-00002\.arrow cannot be read: No such file.*rows 16 to 19"):
        ShardedDataset(small, "train")


def test_a_row_outside_the_split_is_refused(small: Path) -> None:
    dataset = ShardedDataset(small, "test")
    for row in (-1, 5):
        with pytest.raises(NotFound, match="rows 0 to 4 only"):
            dataset.read(row)


def test_an_unknown_split_is_refused_with_those_there_are(small: Path) -> None:
    with pytest.raises(NotFound, match="its splits: train, test"):
        ShardedDataset(small, "validation")


def test_a_copy_of_a_dataset_opens_the_files_again(small: Path) -> None:
    dataset = copy.copy(ShardedDataset(small, "test", on_corrupt="skip"))
    assert dataset.read(2)["label"] == 2
    assert dataset.on_corrupt == "skip"


def test_reading_imports_neither_torch_nor_arrow() -> None:
    code = "import sys, orchestrator.data.loader; sys.exit(any(m in sys.modules for m in ('torch', 'pyarrow')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
