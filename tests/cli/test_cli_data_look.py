"""What `orchestrator data` shows of datasets with many columns, identifiers and tags."""

from pathlib import Path

import pytest

from orchestrator.data.header import Description
from orchestrator.data.schema import Schema
from orchestrator.data.writer import DatasetWriter

COLUMNS = [("id", "int64"), ("ids", "int64_list"), ("box_labels", "int64_list"), ("flags", "int64_list")]
MANY = [(f"number_{place}", "float64") for place in range(14)]


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four rows with two objects each; the folder that it lies in is the current one."""
    root = tmp_path / "objects"
    with DatasetWriter(
        root, Schema.of([*COLUMNS, *MANY]), Description(name="objects", classes=("cat", "dog"))
    ) as writer:
        writer.add_split("train")
        for row in range(4):
            lists = {"ids": [2 * row, 2 * row + 1], "box_labels": [0, row % 2], "flags": [0, 0]}
            writer.write("train", {"id": row, **lists, **{name: 12_345.678 for name, _ in MANY}})
    monkeypatch.chdir(tmp_path)
    return root


def test_identifiers_have_no_most_frequent_ones_and_labels_have_names(cli, objects: Path) -> None:
    lines = cli("data", "stats", "./objects").out.splitlines()
    ids = next(place for place, line in enumerate(lines) if line.startswith("ids: 8 different"))
    assert lines[ids].endswith("each comes once")
    assert "most" not in lines[ids + 1]
    assert "  most   cat 6, dog 2" in lines
    assert "  most   0 8" in lines


def test_large_measured_numbers_are_not_written_with_exponents(cli, objects: Path) -> None:
    out = cli("data", "stats", "./objects").out
    assert "12,346" in out
    assert "e+" not in out


def test_many_columns_are_wrapped(cli, objects: Path) -> None:
    out = cli("data", "info", "./objects").out
    assert max(map(len, out.splitlines())) <= 100
    assert all(f"{name} ({kind})" in out for name, kind in [*COLUMNS, *MANY])
