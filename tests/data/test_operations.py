from pathlib import Path

import pytest

from orchestrator.data.operations import head, info
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.verify import verify


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x10
    path.write_bytes(content)


def test_a_whole_dataset_passes(small: Path) -> None:
    report = verify(small)
    assert report.ok
    assert (report.shards, report.rows) == (4, 25)


def test_progress_counts_all_rows(small: Path) -> None:
    calls: list[tuple[int, int]] = []
    verify(small, lambda done, total: calls.append((done, total)))
    assert calls == [(8, 25), (16, 25), (20, 25), (25, 25)]


def test_a_flipped_bit_in_a_record_names_shard_and_row(small: Path) -> None:
    records = ShardedDataset(small, "train").index.table.records
    flip(small / "train-00001.arrow", int(records[11]["image.offset"]) + 5)
    report = verify(small)
    assert not report.ok
    assert {problem.file for problem in report.problems} == {"train-00001.arrow"}
    assert [problem.rows for problem in report.problems] == [(), (11,)]


@pytest.mark.parametrize("split_row", [2])
def test_rows_are_counted_within_their_split(small: Path, split_row: int) -> None:
    dataset = ShardedDataset(small, "test")
    record = dataset.index.table.records[dataset.split.first_row + split_row]
    flip(small / "test-00000.arrow", int(record["image.offset"]))
    assert verify(small).problems[-1].rows == (split_row,)


@pytest.mark.parametrize("place", [0.0, 0.3, 0.5, 0.7, 0.9, 0.999])
def test_a_flipped_bit_anywhere_in_a_shard_is_found(small: Path, place: float) -> None:
    shard = small / "train-00000.arrow"
    flip(shard, int(shard.stat().st_size * place))
    assert [problem.file for problem in verify(small).problems][:1] == ["train-00000.arrow"]


def test_a_flipped_bit_in_the_table_is_found(small: Path) -> None:
    flip(small / "table.bin", (small / "table.bin").stat().st_size - 3)
    assert verify(small).problems[0].file == "table.bin"


def test_truncated_and_missing_shards_are_all_named_at_once(small: Path) -> None:
    (small / "train-00000.arrow").unlink()
    (small / "test-00000.arrow").write_bytes(b"short")
    problems = verify(small).problems
    assert [problem.file for problem in problems] == ["train-00000.arrow", "test-00000.arrow"]
    assert "5 bytes" in problems[1].what


def test_info_says_what_the_index_knows(small: Path) -> None:
    about = info(small)
    assert (about.name, about.format, about.columns) == ("small", 1, (("image", "image"), ("label", "label")))
    assert [(split.name, split.rows, split.shards) for split in about.splits] == [("train", 20, 3), ("test", 5, 1)]
    assert about.classes == ("a", "b", "c", "d", "e")
    assert len(about.version) == 64


def test_head_describes_the_first_rows(small: Path) -> None:
    rows = head(small, 3)
    assert [(row.split, row.row, row.cells["label"]) for row in rows] == [
        ("train", 0, "0 a"),
        ("train", 1, "1 b"),
        ("train", 2, "2 c"),
    ]
    assert all(row.cells["image"].startswith("6x6 ") for row in rows)


def test_head_shows_no_more_than_there_are(small: Path) -> None:
    assert len(head(small, 100, "test")) == 5
