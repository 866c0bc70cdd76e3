"""Runs whose data is damaged, or is not what it was: what is refused, what is left out, and who says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ranks import events, many_workers, new_run, one_rank, spooled, summary

from orchestrator.base.errors import Conflict
from orchestrator.blueprint.workload import parameters_of
from orchestrator.data.build import build
from orchestrator.data.index import DatasetIndex
from orchestrator.recipes.training import evaluate_checkpoint
from orchestrator.rundir.control import Control, write_control
from orchestrator.spec.load import load_card
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.training.checkpoint.store import CheckpointStore

Tiny = Callable[..., RegNetWorkload]


def flip(folder: Path, split: str, row: int) -> None:
    """One bit of one image."""
    index = DatasetIndex.open(folder)
    record = index.table.records[index.split(split).first_row + row]
    shard, _ = index.locate(split, row)
    with open(folder / shard, "r+b") as file:
        file.seek(int(record["image.offset"]) + int(record["image.length"]) // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 16]))


@pytest.fixture
def damaged(digits: Path, tmp_path: Path) -> Path:
    """The digits with three flipped bits: two in the training split, one in the validation split."""
    folder = tmp_path / "damaged"
    shutil.copytree(digits, folder)
    for split, row in (("train", 3), ("train", 1000), ("validation", 5)):
        flip(folder, split, row)
    return folder


def on(tiny: Tiny, folder: Path, **more: Any) -> RegNetWorkload:
    return tiny(data={"dataset": str(folder), **more})


def test_a_corrupt_record_without_another_copy_ends_the_job(
    tiny: Tiny, damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = new_run(tmp_path, on(tiny, damaged))
    assert one_rank(run) == 1
    [marker] = events(run, "rank_finished")
    assert marker.data["failure_class"] == "permanent"
    assert "Traceback" not in capsys.readouterr().err
    assert "train-00000.arrow" in marker.data["message"]
    assert "orchestrator data verify" in marker.data["message"]


def test_what_is_skipped_is_an_event_a_metric_and_in_the_summary(
    tiny: Tiny, damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = new_run(tmp_path, on(tiny, damaged, on_corrupt="skip"))
    assert one_rank(run) == 0
    told = sorted((event.data["split"], row) for event in events(run, "data_skipped") for row in event.data["rows"])
    assert told == [("train", 3), ("train", 1000), ("validation", 5)]
    assert {event.data["shard"] for event in events(run, "data_skipped")} == {
        "train-00000.arrow",
        "validation-00000.arrow",
    }
    assert summary(run)["data"]["skipped"] == {"train": 4, "validation": 1, "test": 0}
    assert summary(run)["data"]["on_corrupt"] == "skip"
    [marker] = events(run, "rank_finished")
    assert marker.data["message"].startswith("trained on 2,152 samples (4 corrupt ones left out): ")
    values = [record["values"] for record in spooled(run, "metrics") if "data/skipped_samples" in record["values"]]
    assert [v["data/skipped_samples"] for v in values] == [2, 4]
    assert [v["data/skipped_validation_samples"] for v in values] == [1, 1]
    log = capsys.readouterr().out
    assert "corrupt records of train-00000.arrow" in log
    assert "epoch 2: 2 of 1078 samples were corrupt and left out" in log


def test_whichever_worker_finds_corrupt_records_tells_of_them(tiny: Tiny, damaged: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, on(tiny, damaged, on_corrupt="skip"))
    assert many_workers(run, 1, 2)["outcome"] == "succeeded"
    told = {(event.data["split"], row) for event in events(run, "data_skipped") for row in event.data["rows"]}
    assert told == {("train", 3), ("train", 1000), ("validation", 5)}
    assert {event.writer for event in events(run, "data_skipped")} <= {"rank-0", "rank-1"}
    assert summary(run)["data"]["skipped"] == {"train": 4, "validation": 1, "test": 0}


def other_digits(folder: Path) -> Path:
    """Another version of the same dataset in the same place: cut by another seed."""
    shutil.rmtree(folder, ignore_errors=True)
    card = load_card("digits")
    build(card.model_copy(update={"splits": card.splits.model_copy(update={"seed": 99})}), None, folder)
    return folder


@pytest.fixture
def begun(tiny: Tiny, digits: Path, tmp_path: Path) -> tuple[Path, RegNetWorkload]:
    """A job that trained an epoch and was stopped; then its dataset was built anew from other images."""
    folder = tmp_path / "mine"
    shutil.copytree(digits, folder)
    workload = on(tiny, folder)
    run = new_run(tmp_path, workload)
    write_control(run, Control(1, 1, "stop", 1, cause="preempt"))
    assert one_rank(run) == 0
    return folder, workload


def test_a_resume_on_another_version_of_the_data_is_refused_for_good(
    begun: tuple[Path, RegNetWorkload], tmp_path: Path
) -> None:
    folder, workload = begun
    then = DatasetIndex.open(folder).version
    now = DatasetIndex.open(other_digits(folder)).version
    run = new_run(tmp_path, workload, number=2)
    assert one_rank(run, token=2) == 1
    [marker] = events(run, "rank_finished")
    assert (marker.data["outcome"], marker.data["failure_class"]) == ("failed", "permanent")
    assert then != now
    for part in (then, now, "put that version back", "submit the workload as a new job"):
        assert part in marker.data["message"]


def test_a_retry_on_another_version_is_refused_before_there_is_any_checkpoint(
    tiny: Tiny, digits: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(digits, folder)
    workload = on(tiny, folder)
    then = DatasetIndex.open(folder).version
    flip(folder, "train", 3)
    first = new_run(tmp_path, workload)
    assert one_rank(first) == 1
    assert not list(first.job.checkpoints.iterdir())
    now = DatasetIndex.open(other_digits(folder)).version
    run = new_run(tmp_path, workload, number=2)
    assert one_rank(run, token=2) == 1
    [marker] = events(run, "rank_finished")
    assert marker.data["failure_class"] == "permanent"
    assert then in marker.data["message"]
    assert now in marker.data["message"]


def test_a_refused_run_names_no_other_version_to_the_tracker(
    begun: tuple[Path, RegNetWorkload], tmp_path: Path
) -> None:
    folder, workload = begun
    then = DatasetIndex.open(folder).version
    other_digits(folder)
    run = new_run(tmp_path, workload, number=2)
    assert one_rank(run, token=2) == 1
    named = [record["tags"].get("orchestrator.dataset_version") for record in spooled(run, "start")]
    assert named == [None, then, None]


def test_the_same_data_in_another_place_is_the_same_data(begun: tuple[Path, RegNetWorkload], tmp_path: Path) -> None:
    folder, workload = begun
    moved = folder.rename(tmp_path / "elsewhere")
    data = workload.data.model_copy(update={"dataset": str(moved), "workers": 1})
    run = new_run(tmp_path, workload.model_copy(update={"data": data}), number=2)
    assert one_rank(run, token=2) == 0


def test_the_version_is_in_every_checkpoint_the_summary_and_the_tracked_run(
    tiny: Tiny, digits: Path, tmp_path: Path
) -> None:
    version = DatasetIndex.open(digits).version
    run = new_run(tmp_path, tiny(train={"epochs": 1}))
    assert one_rank(run) == 0
    found = CheckpointStore(run.job.checkpoints).read_whole(1078)
    assert found.meta["identity"]["dataset"] == version
    assert summary(run)["dataset"]["version"] == version
    assert spooled(run, "start")[-1]["tags"]["orchestrator.dataset_version"] == version


def test_a_checkpoint_is_not_evaluated_on_another_version_of_the_data(tiny: Tiny, digits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(digits, folder)
    workload = tiny(data={"dataset": str(folder)}, train={"epochs": 1})
    run = new_run(tmp_path, workload)
    assert one_rank(run) == 0
    other_digits(folder)
    with pytest.raises(Conflict, match="the data has changed"):
        evaluate_checkpoint(workload, parameters_of(workload.model), run.job.checkpoints, 1078, "test")
