"""A trial and the data: it sees the version that the search began with, and tells what it left out."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.data.build import build
from orchestrator.data.index import DatasetIndex
from orchestrator.rundir.dataset import hold_to_dataset
from orchestrator.rundir.events import read_events
from orchestrator.rundir.layout import JobDirectory
from orchestrator.search.records import TrialRecord, TrialRecords
from orchestrator.search.setting import usual_failure
from orchestrator.search.trainer import train_regnet
from orchestrator.search.trial import Surroundings, TrialEnd, TrialTask
from orchestrator.spec.load import freeze_workload, load_card
from orchestrator.spec.regnet import RegNetWorkload


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "digits"
    build(load_card("digits"), None, folder)
    return folder


def train(job: JobDirectory, workload: RegNetWorkload, record: TrialRecord) -> TrialEnd:
    job.spec.write_text(freeze_workload(workload))
    TrialRecords(job, 1).save(record)
    run = job.run("job-1-r1")
    task = TrialTask(str(job.path), 1, record.index, "", str(run.path / "trials"), str(run.path))
    return train_regnet(task, Surroundings(lambda metrics: None, lambda samples: None, lambda: False))


def on(workload: RegNetWorkload, folder: Path, **more: str) -> RegNetWorkload:
    data = workload.data.model_copy(update={"dataset": str(folder), **more})
    return workload.model_copy(update={"data": data, "train": workload.train.model_copy(update={"epochs": 1})})


def test_a_trial_on_another_version_than_the_searchs_fails_for_good(
    job: JobDirectory, workload: RegNetWorkload, trials: tuple[TrialRecord, ...], digits: Path
) -> None:
    hold_to_dataset(job, 1, "another")
    end = train(job, on(workload, digits), trials[0])
    assert (end.end, end.failure_class) == ("failed", "permanent")
    assert "began on version another of its dataset, which is now version" in end.message


def test_corrupt_records_of_a_trial_are_events_of_its_run(
    job: JobDirectory, workload: RegNetWorkload, trials: tuple[TrialRecord, ...], digits: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(digits, folder)
    index = DatasetIndex.open(folder)
    with open(folder / "train-00000.arrow", "r+b") as file:
        file.seek(int(index.table.records[7]["image.offset"]))
        file.write(b"\0")
    end = train(job, on(workload, folder, on_corrupt="skip"), trials[0])
    assert end.end == "finished"
    assert end.metrics["data/skipped_samples"] == 1
    [event] = [event for event in read_events(job.run("job-1-r1"), {}) if event.kind == "data_skipped"]
    assert (event.writer, event.data["trial"], event.data["rows"]) == ("trial-0", 0, [7])


def test_the_failure_of_most_trials_is_the_searchs(trials: tuple[TrialRecord, ...]) -> None:
    classes = ("data", "application", "data")
    failed = [replace(t, state="failed", failure_class=c) for t, c in zip(trials, classes, strict=True)]
    assert usual_failure(failed) == "data"
    assert usual_failure(trials) == "application"
