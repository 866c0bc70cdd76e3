"""A build in parts: the same bytes however it is made, resumed after every kind of end, and what it leaves out."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from orchestrator.base.errors import Conflict, DataError
from orchestrator.data import build as build_module
from orchestrator.data.build import build
from orchestrator.data.building import work
from orchestrator.data.building.plan import plan
from orchestrator.data.index import DatasetIndex
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.source import BadSample, Record, Sample, Skipped, Source
from orchestrator.data.verify import verify
from orchestrator.data.writer import Limits
from orchestrator.spec.card import DatasetCard

ROWS = 60


def card(**changes: object) -> DatasetCard:
    document = {
        "name": "numbers",
        "title": "Numbers",
        "converter": "parquet",
        "source": "folder",
        "columns": {"data": {"type": "bytes"}, "number": {"type": "int64"}},
        "splits": {"train": "a", "test": "b"},
        "shard_size": 4096,
    }
    return DatasetCard.model_validate(document | changes)


def read(folder: str, number: int) -> Record:
    """A record of about 400 bytes; files in `folder` make it fail, stop or kill the process that reads it."""
    place = Path(folder)
    if (place / f"bad-{number}").exists():
        raise BadSample("it is bad")
    if (place / f"gone-{number}").exists():
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "x")
    if (place / f"fault-{number}").exists():
        raise KeyError("missing")
    if (place / f"stop-{number}").exists():
        raise KeyboardInterrupt
    if (place / f"kill-{number}").exists():
        (place / f"kill-{number}").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    if (place / f"wait-{number}").exists():
        (place / "waiting").touch()
        time.sleep(60)
    return {"data": np.random.default_rng(number).bytes(400), "number": number}


def source(folder: Path, rows: int = ROWS, size: int = 400) -> Source:
    samples = [
        Sample(f"sample {n}", "b" if n % 6 == 5 else "a", -1, size, partial(read, str(folder), n)) for n in range(rows)
    ]
    return Source((), samples, (Skipped("notes.txt", "not a row"),))


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., build_module.BuildReport]:
    """Build the numbers into a folder of this name."""
    found = {"source": source(tmp_path)}

    def made(name: str, processes: int = 1, about: DatasetCard | None = None, **of: int) -> build_module.BuildReport:
        if of:
            found["source"] = source(tmp_path, **of)
        monkeypatch.setattr(build_module, "converter", lambda _: lambda *_: found["source"])
        return build(about or card(), None, tmp_path / name, processes=processes)

    return made


@pytest.fixture
def interrupt(make, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Build into the folder `d`, and stop where it comes to a function of the build module: all parts are finished."""

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    def interrupted(where: str = "assemble") -> None:
        with monkeypatch.context() as patch:
            patch.setattr(build_module, where, stopped)
            with pytest.raises(KeyboardInterrupt):
                make("d")

    return interrupted


def content(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(root.iterdir())}


def entries(root: Path) -> set[str]:
    return {path.name for path in (root / ".parts").iterdir()}


def test_any_number_of_processes_gives_the_same_bytes(make, tmp_path: Path) -> None:
    for number in (3, 4, 40):
        (tmp_path / f"bad-{number}").touch()
    reports = [make(f"d{processes}", processes) for processes in (1, 3)]
    assert content(tmp_path / "d1") == content(tmp_path / "d3")
    assert [(len(report.skipped), report.shards) for report in reports] == [(4, 6)] * 2
    assert verify(tmp_path / "d1").ok
    assert not (tmp_path / "d1" / ".building").exists()


def test_every_sample_is_in_its_split_once(make, tmp_path: Path) -> None:
    make("d")
    for split, expected in (("train", [n for n in range(ROWS) if n % 6 != 5]), ("test", list(range(5, ROWS, 6)))):
        assert sorted(ShardedDataset(tmp_path / "d", split).fixed_column("number").tolist()) == expected


def test_rows_in_the_order_of_the_source_stay_so(make, tmp_path: Path) -> None:
    make("d", 1, card(row_order="source"))
    assert ShardedDataset(tmp_path / "d", "test").fixed_column("number").tolist() == list(range(5, ROWS, 6))


def test_parts_are_of_nearly_equal_size_and_none_is_empty(tmp_path: Path) -> None:
    planned = plan(card(), source(tmp_path, rows=1000), Limits(shard_bytes=4096))
    sizes = [len(part.places) for part in planned.parts if part.split == "train"]
    assert sum(sizes) == 834
    assert max(sizes) - min(sizes) <= 1
    assert (max(sizes) - 1) * 400 <= 4096
    lone = plan(card(), source(tmp_path, rows=7, size=9000), Limits(shard_bytes=4096))
    assert [len(part.places) for part in lone.parts] == [1] * 7


def test_a_million_samples_without_a_size_are_cut_by_rows(tmp_path: Path) -> None:
    sample = Sample("s", "a", -1, 0, partial(read, str(tmp_path), 0))
    planned = plan(card(), Source((), [sample] * 5000), Limits(shard_bytes=2**20, shard_rows=1000))
    assert [len(part.places) for part in planned.parts] == [1000] * 5


def test_an_interrupted_build_keeps_what_is_finished_and_gives_the_same_bytes(make, tmp_path: Path) -> None:
    make("whole")
    (tmp_path / "fault-7").touch()
    with pytest.raises(DataError, match=r"sample 7 of train cannot be read: KeyError: 'missing'"):
        make("d")
    assert not (tmp_path / "d" / "index.json").exists()
    (tmp_path / "fault-7").unlink()
    left = len(entries(tmp_path / "d"))
    assert left > 0
    assert make("d").kept == left
    assert content(tmp_path / "d") == content(tmp_path / "whole")


def test_ctrl_c_leaves_a_build_that_resumes(make, tmp_path: Path) -> None:
    last = plan(card(), source(tmp_path), Limits(shard_bytes=4096)).parts[-1].places[-1]
    (tmp_path / f"stop-{last}").touch()
    with pytest.raises(KeyboardInterrupt):
        make("d")
    (tmp_path / f"stop-{last}").unlink()
    report = make("d")
    assert (report.kept, report.shards) == (5, 6)
    assert [path.name for path in (tmp_path / "d").glob(".*")] == [".built"]


def test_a_worker_that_is_killed_is_an_error_that_names_its_shard(make, tmp_path: Path) -> None:
    make("whole")
    (tmp_path / "kill-7").touch()
    with pytest.raises(DataError, match=r"made train-0000\d\.arrow was killed by SIGKILL \(out of memory\?\)") as told:
        make("d", 2)
    assert "finished parts are kept" in told.value.hint
    make("d")
    assert content(tmp_path / "d") == content(tmp_path / "whole")


_BUILDER = """
import sys
from pathlib import Path
from tests.data.test_building import card, source
from orchestrator.data import build
folder, processes, where = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
build.converter = lambda _: lambda *_: source(folder)
if where:
    import os, signal
    setattr(build, where, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
build.build(card(), None, folder / "d", processes=processes)
"""


def builder(folder: Path, processes: int, where: str = "") -> subprocess.Popen[bytes]:
    """A build in a process of its own, which is killed where it comes to a function of the build module."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen([sys.executable, "-c", _BUILDER, str(folder), str(processes), where], env=environment)


def test_a_builder_that_is_killed_at_the_end_finishes_the_next_time(make, tmp_path: Path) -> None:
    make("whole")
    assert builder(tmp_path, 1, "assemble").wait() == -signal.SIGKILL
    assert make("d").kept == 6
    assert content(tmp_path / "d") == content(tmp_path / "whole")


def test_a_builder_that_stops_while_it_lists_what_was_left_out_finishes_the_next_time(
    make, interrupt, tmp_path: Path
) -> None:
    make("whole")
    interrupt("write_json")
    assert make("d").kept == 6
    assert content(tmp_path / "d") == content(tmp_path / "whole")


def test_the_workers_of_a_builder_that_is_killed_end_with_it(make, tmp_path: Path) -> None:
    make("whole")
    (tmp_path / "wait-7").touch()
    process = builder(tmp_path, 2)
    while not (tmp_path / "waiting").exists():
        assert process.poll() is None
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 2
    process.kill()
    process.wait()
    end = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < end
        time.sleep(0.02)
    (tmp_path / "wait-7").unlink()
    make("d")
    assert content(tmp_path / "d") == content(tmp_path / "whole")


def test_a_shard_that_was_damaged_meanwhile_is_made_again(make, interrupt, tmp_path: Path) -> None:
    make("whole")
    interrupt()
    shard = tmp_path / "d" / "train-00002.arrow"
    damaged = bytearray(shard.read_bytes())
    damaged[500] ^= 1
    shard.write_bytes(damaged)
    (tmp_path / "d" / "train-00001.arrow").unlink()
    entry = tmp_path / "d" / ".parts" / "train-00000.entry"
    entry.write_bytes(entry.read_bytes()[:-1])
    assert make("d").kept == 3
    assert content(tmp_path / "d") == content(tmp_path / "whole")


@pytest.mark.parametrize("change", [{"rows": ROWS - 1}, {"size": 401}])
def test_another_source_starts_over(make, interrupt, change: dict[str, int]) -> None:
    interrupt()
    assert make("d", **change).kept == 0


def test_another_card_starts_over(make, interrupt) -> None:
    interrupt()
    assert make("d", 1, card(shard_size=8192)).kept == 0


def test_what_could_not_be_read_is_tried_again_by_a_build_that_resumes(make, interrupt, tmp_path: Path) -> None:
    (tmp_path / "gone-7").touch()
    interrupt()
    (tmp_path / "gone-7").unlink()
    report = make("d")
    assert report.kept == 5
    assert [entry.name for entry in report.skipped] == ["notes.txt"]


def test_a_full_disk_names_the_folder_and_the_bytes_free_and_can_be_resumed(
    make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(work, "write_entry", full)
        with pytest.raises(DataError, match=r"the disk of .*/d is full \([\d,]+ bytes free\)"):
            make("d")
    assert make("d").rows == {"train": 50, "test": 10}


def test_a_part_without_a_good_sample_leaves_no_shard_and_no_gap(make, tmp_path: Path) -> None:
    planned = plan(card(), source(tmp_path), Limits(shard_bytes=4096))
    for number in (0, 2):
        for place in planned.parts[number].places:
            (tmp_path / f"bad-{place}").touch()
    report = make("d")
    assert report.shards == 4
    assert DatasetIndex.open(tmp_path / "d").split("train").shard_rows.tolist() == [10, 10, 10]
    assert verify(tmp_path / "d").ok
    assert {path.name for path in (tmp_path / "d").glob("*.arrow")} == {
        *(f"train-0000{number}.arrow" for number in range(3)),
        "test-00000.arrow",
    }
    good = set(range(ROWS)) - {int(path.name[4:]) for path in tmp_path.glob("bad-*")}
    found = [ShardedDataset(tmp_path / "d", split).fixed_column("number").tolist() for split in ("train", "test")]
    assert {number for numbers in found for number in numbers} == good


def test_a_split_without_a_good_sample_exists_and_is_empty(make, tmp_path: Path) -> None:
    for number in range(5, ROWS, 6):
        (tmp_path / f"bad-{number}").touch()
    assert make("d").rows == {"train": 50, "test": 0}
    assert len(ShardedDataset(tmp_path / "d", "test")) == 0


def test_no_good_sample_at_all_is_an_error_and_the_next_build_starts_over(make, tmp_path: Path) -> None:
    for number in range(ROWS):
        (tmp_path / f"bad-{number}").touch()
    with pytest.raises(DataError, match=r"no sample of numbers is good; the first: sample .*: it is bad"):
        make("d")
    for number in range(ROWS):
        (tmp_path / f"bad-{number}").unlink()
    assert make("d").rows == {"train": 50, "test": 10}


def test_what_was_left_out_is_listed_with_its_reason(make, tmp_path: Path) -> None:
    for name in ("bad-5", "bad-7", "gone-8"):
        (tmp_path / name).touch()
    report = make("d")
    assert report.skipped_by_reason == {
        "it is bad": 2,
        "not a row": 1,
        "cannot be read: No such file or directory": 1,
    }
    listed = json.loads((tmp_path / "d" / "skipped.json").read_text())["skipped"]
    assert {entry["name"] for entry in listed} == {"notes.txt", "sample 5", "sample 7", "sample 8"}


def test_a_split_that_is_shorter_or_longer_than_its_card_says_is_told(make, tmp_path: Path) -> None:
    (tmp_path / "bad-7").touch()
    report = make("d", 1, card(rows={"train": 51, "test": 12, "validation": 3}))
    assert report.warnings == (
        "test has 10 rows; the card says 12: is the source complete?",
        "validation has 0 rows; the card says 3: is the source complete?",
    )
    assert make("e", 1, card(rows={"train": 49, "test": 10})).warnings == (
        "train has 49 rows and 1 left out; the card says 49: is the source complete?",
    )


def test_a_value_that_does_not_fit_its_column_is_left_out(make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no sample of numbers is good; .*column 'data' holds text, got bytes"):
        make("e", 1, card(columns={"data": {"type": "text"}, "number": {"type": "int64"}}), rows=3)


def test_a_source_without_a_sample_for_any_split_is_an_error_and_nothing_is_created(make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 60 samples, none of them in a split of the card"):
        make("d", 1, card(splits={"train": "elsewhere"}))
    assert not (tmp_path / "d").exists()


def test_a_finished_dataset_is_not_built_again(make, tmp_path: Path) -> None:
    make("d")
    with pytest.raises(Conflict, match="already holds a dataset"):
        make("d")


def test_a_folder_of_somebody_else_is_left_alone(make, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.tex").touch()
    with pytest.raises(Conflict, match=r"thesis\.tex"):
        make("d")
    shutil.rmtree(tmp_path / "d")


def test_progress_ends_at_all_samples_and_never_falls(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "converter", lambda _: lambda *_: source(tmp_path))
    told: list[tuple[int, int]] = []
    build(card(), None, tmp_path / "d", lambda done, total: told.append((done, total)), processes=2)
    assert told[-1] == (ROWS, ROWS)
    assert sorted(told) == told
