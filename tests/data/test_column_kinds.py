"""Every kind of column: what it is in Arrow, that it comes back, and that its checksum covers all of it."""

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.base.errors import DataError, ShardCorrupt
from orchestrator.data.header import Description
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.schema import Column, Schema, decode_value, encode_value
from orchestrator.data.writer import DatasetWriter, Limits
from orchestrator.spec.card import ColumnType

ARROW = {
    "image": pa.large_binary(),
    "video": pa.large_binary(),
    "mask": pa.large_binary(),
    "bytes": pa.large_binary(),
    "masks": pa.large_list(pa.field("item", pa.large_binary(), nullable=False)),
    "boxes": pa.large_list(
        pa.field("item", pa.list_(pa.field("item", pa.float64(), nullable=False), 4), nullable=False)
    ),
    "text": pa.large_string(),
    "text_list": pa.large_list(pa.field("item", pa.large_string(), nullable=False)),
    "label": pa.int64(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "int64_list": pa.large_list(pa.field("item", pa.int64(), nullable=False)),
    "float32_list": pa.large_list(pa.field("item", pa.float32(), nullable=False)),
    "float64_list": pa.large_list(pa.field("item", pa.float64(), nullable=False)),
}
assert ARROW.keys() == set(get_args(ColumnType))
SCHEMA = Schema.of((f"the_{kind}", kind) for kind in ARROW)

_INT64 = st.integers(-(2**63), 2**63 - 1)
_FLOAT64 = st.floats(allow_nan=False)
_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
_VALUES = {
    "masks": st.lists(st.binary(max_size=9), max_size=4),
    "boxes": st.lists(st.tuples(_FLOAT64, _FLOAT64, _FLOAT64, _FLOAT64), max_size=3),
    "text": _TEXT,
    "text_list": st.lists(_TEXT, max_size=4),
    "label": _INT64,
    "int64": _INT64,
    "float64": _FLOAT64,
    "int64_list": st.lists(_INT64, max_size=4),
    "float32_list": st.lists(st.floats(width=32, allow_nan=False), max_size=4),
    "float64_list": st.lists(_FLOAT64, max_size=4),
}
RECORDS = st.lists(
    st.fixed_dictionaries({f"the_{kind}": _VALUES.get(kind, st.binary(max_size=20)) for kind in ARROW}), max_size=7
)


def plain(value: Any) -> Any:
    """A value as Python's own lists, numbers and bytes."""
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def write(root: Path, records: list[dict[str, Any]], **limits: int) -> Path:
    with DatasetWriter(root, SCHEMA, Description(name="all"), limits=Limits(**limits)) as writer:
        writer.add_split("train")
        for record in records:
            writer.write("train", record)
    return root


def record_of(number: int) -> dict[str, Any]:
    """A record that has some bytes in each part of each column."""
    values: dict[str, Any] = {"the_label": number, "the_int64": -number, "the_float64": number / 3}
    values |= {
        "the_text": f"nº {number}",
        "the_text_list": ["a", "", "éé" * number],
        "the_masks": [b"rle", b"x" * number],
    }
    values |= {
        "the_boxes": [[1, 2, 3, number]],
        "the_int64_list": [number, 5],
        "the_float32_list": [0.5, number],
    }
    values |= {"the_float64_list": [number / 3, 0.1]}
    return values | {f"the_{kind}": bytes([number]) * 9 for kind in ("image", "video", "mask", "bytes")}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS, batch_rows=st.integers(1, 4), shard_rows=st.integers(1, 9))
def test_records_of_all_kinds_come_back_from_our_reader_and_from_arrow(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]], batch_rows: int, shard_rows: int
) -> None:
    root = write(tmp_path_factory.mktemp("d") / "d", records, batch_rows=batch_rows, shard_rows=shard_rows)
    expected = [{name: plain(value) for name, value in record.items()} for record in records]
    for record in expected:
        record["the_boxes"] = [list(box) for box in record["the_boxes"]]
    dataset = ShardedDataset(root, "train")
    assert [{k: plain(v) for k, v in dataset.read(row).items()} for row in range(len(dataset))] == expected
    tables = [pa.ipc.open_file(str(path)).read_all() for path in sorted(root.glob("*.arrow"))]
    for table in tables:
        table.validate(full=True)
        assert {field.name: field.type for field in table.schema} == {f"the_{k}": v for k, v in ARROW.items()}
        assert not any(field.nullable for field in table.schema)
    assert [row for table in tables for row in table.to_pylist()] == expected


@pytest.mark.parametrize("part", SCHEMA.parts)
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_flipped_bit_in_any_part_of_a_record_is_caught(tmp_path: Path, part: str, place: str) -> None:
    root = write(tmp_path / "d", [record_of(number) for number in range(1, 6)], batch_rows=2, shard_rows=3)
    record = ShardedDataset(root, "train").index.table.records[4]
    start, length = int(record[f"{part}.offset"]), int(record[f"{part}.length"])
    assert length > 0
    shard = root / "train-00001.arrow"
    content = bytearray(shard.read_bytes())
    content[start if place == "first" else start + length - 1] ^= 4
    shard.write_bytes(content)
    with pytest.raises(ShardCorrupt, match=r"train-00001\.arrow.*rows 4"):
        ShardedDataset(root, "train").read(4)
    assert ShardedDataset(root, "train").read(2)["the_label"] == 3


def test_reading_imports_no_arrow_and_copies_no_encoded_value(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [record_of(3)])
    code = (
        "import sys, pathlib; from orchestrator.data.reader import ShardedDataset;"
        f"record = ShardedDataset(pathlib.Path({str(root)!r}), 'train').read(0);"
        "assert 'pyarrow' not in sys.modules;"
        "views = [record['the_image'], *record['the_masks']];"
        "assert all(type(view.obj).__name__ == 'mmap' for view in views)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text_list", "one text"),
        ("text_list", [b"bytes"]),
        ("text", "\ud800"),
        ("masks", b"one mask"),
        ("masks", ["text"]),
        ("boxes", [[1, 2, 3]]),
        ("boxes", [1, 2, 3, 4]),
        ("boxes", "box"),
        ("int64_list", ["a"]),
        ("int64_list", [2**70]),
        ("image", "text"),
    ],
)
def test_a_value_that_does_not_fit_its_column_is_refused(kind: str, value: Any) -> None:
    with pytest.raises(DataError, match="column 'x' holds"):
        encode_value(Column("x", kind), value)


def test_no_items_are_an_empty_list_and_an_empty_array() -> None:
    for kind in ("text_list", "masks"):
        column = Column("x", kind)
        assert decode_value(column, *map(memoryview, encode_value(column, []))) == []
    column = Column("x", "boxes")
    assert decode_value(column, *map(memoryview, encode_value(column, []))).shape == (0, 4)
