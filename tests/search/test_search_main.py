"""The driver's entry with the real recipe: a small search on the digits, from spec to summary."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.dataset import hold_to_dataset
from orchestrator.rundir.layout import JobDirectory
from orchestrator.runtime.markers import Marker, read_marker
from orchestrator.search.records import TrialRecord, TrialRecords
from orchestrator.spec.load import freeze_workload
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.tracking.records import Start
from orchestrator.tracking.spool import read_segment

ARRAY = {"engine": "array"}
PROGRAM = """
import sys
from orchestrator.search.{module} import main

code = main()
print("torch was imported:", "torch" in sys.modules)
sys.exit(code)
"""

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the digits are built, once."""
    return tmp_path_factory.mktemp("state")


def run_main(job: JobDirectory, workload: RegNetWorkload, state_dir: Path, slots: int) -> Marker:
    """One run of the driver as an agent would start it; its marker."""
    with start_main(job, workload, state_dir, slots) as process:
        process.wait(240)
    return last_word(job)


def run_array(job: JobDirectory, workload: RegNetWorkload, state_dir: Path, workers: int) -> list[Marker]:
    """One run of so many workers of an array; their markers."""
    workload = workload.model_copy(update={"search": workload.search and workload.search.model_copy(update=ARRAY)})
    processes = [start_main(job, workload, state_dir, workers, module="array", rank=rank) for rank in range(workers)]
    for process in processes:
        with process:
            process.wait(240)
    return [last_word(job, rank) for rank in range(workers)]


def last_word(job: JobDirectory, rank: int = 0) -> Marker:
    """The rank's marker, as an agent reads it: the last of its own events; trials have theirs."""
    run = job.run("job-1-r1")
    marker = read_marker(run, rank)
    assert marker is not None, (run.logs / f"rank-{rank}.log").read_text()
    return marker


def start_main(
    job: JobDirectory, workload: RegNetWorkload, state_dir: Path, slots: int, *, module: str = "main", rank: int = 0
) -> "subprocess.Popen[bytes]":
    job.create()
    run = job.run("job-1-r1")
    run.create()
    job.spec.write_text(freeze_workload(workload))
    environment = os.environ | {
        "ORCHESTRATOR_STATE_DIR": str(state_dir),
        "ORCHESTRATOR_RUN_DIR": str(run.path),
        "ORCHESTRATOR_ALLOCATION": f"job-1-r1.{rank}",
        "ORCHESTRATOR_FENCING_TOKEN": "1",
        "ORCHESTRATOR_SLOTS": str(slots),
        "RANK": str(rank),
        "WORLD_SIZE": "1",
        "OMP_NUM_THREADS": "1",
    }
    with open(run.logs / f"rank-{rank}.log", "wb") as log:
        command = [sys.executable, "-c", PROGRAM.format(module=module)]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def results(job: JobDirectory) -> list[tuple[object, ...]]:
    def line(record: TrialRecord) -> tuple[object, ...]:
        return (record.index, record.state, record.seed, record.parameters, record.metrics)

    return [line(record) for record in TrialRecords(job, 1).load().values()]


@pytest.fixture(scope="module")
def small(make_workload: Callable[..., RegNetWorkload]) -> RegNetWorkload:
    """Two trials of one epoch."""
    workload = make_workload(trials=2, constraints={"flops": "0..1M"}, bootstrap=50)
    train = workload.train.model_copy(update={"epochs": 1, "batch_size": 64})
    return workload.model_copy(update={"train": train})


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory, state_dir: Path, small: RegNetWorkload) -> JobDirectory:
    """The search on Ray, with one slot."""
    job = JobDirectory.under(tmp_path_factory.mktemp("ray"), "job-1")
    marker = run_main(job, small, state_dir, 1)
    assert marker.outcome == "succeeded", marker
    return job


@pytest.fixture(scope="module")
def array(tmp_path_factory: pytest.TempPathFactory, state_dir: Path, small: RegNetWorkload) -> JobDirectory:
    """The search as an array of two workers."""
    job = JobDirectory.under(tmp_path_factory.mktemp("array"), "job-1")
    assert sorted(marker.outcome for marker in run_array(job, small, state_dir, 2)) == ["left", "succeeded"]
    return job


def test_what_a_search_finds_depends_neither_on_concurrency_nor_on_the_engine(
    one_by_one: JobDirectory, array: JobDirectory
) -> None:
    assert results(array) == results(one_by_one)
    found = [json.loads((job.results / "summary.json").read_text()) for job in (one_by_one, array)]
    assert found[0] == found[1]


def test_a_worker_of_an_array_leaves_torch_to_the_process_of_its_trials(array: JobDirectory) -> None:
    logs = [array.run("job-1-r1").logs / f"rank-{rank}.log" for rank in range(2)]
    assert ["torch was imported: False" in log.read_text() for log in logs] == [True, True]


def test_a_search_leaves_its_summary_its_plots_and_its_trackers_runs(one_by_one: JobDirectory) -> None:
    summary = json.loads((one_by_one.results / "summary.json").read_text())
    assert summary["trials"] == {"total": 2, "succeeded": 2}
    assert summary["dataset"]["name"] == "digits"
    assert 0 <= summary["best"]["test_accuracy"] <= 1
    assert (one_by_one.results / "edf.png").stat().st_size > 10_000

    spooled = []
    while (part := read_segment(one_by_one.tracking / "search", len(spooled))) is not None:
        spooled.append(part)
    started = [record for part in spooled for record in part if isinstance(record, Start)]
    assert [(s.key, s.parent) for s in started] == [
        ("job-1", None),
        ("job-1/trial-0", "job-1"),
        ("job-1/trial-1", "job-1"),
    ]


def test_a_space_without_models_is_an_error_that_no_retry_can_mend(
    job: JobDirectory, state_dir: Path, make_workload: Callable[..., RegNetWorkload]
) -> None:
    workload = make_workload(constraints={"flops": "1..2"}, max_draws=500)
    marker = run_main(job, workload, state_dir, 1)
    assert (marker.outcome, marker.failure_class) == ("failed", "permanent")
    assert "constraints.flops" in marker.message


def test_a_search_resumed_on_another_version_of_the_data_is_refused(
    job: JobDirectory, state_dir: Path, workload: RegNetWorkload
) -> None:
    hold_to_dataset(job, 1, "another version")
    marker = run_main(job, workload, state_dir, 1)
    assert (marker.outcome, marker.failure_class) == ("failed", "permanent")
    assert "the data has changed: this training began on version another version" in marker.message


def test_a_stop_request_from_the_controller_ends_the_run_as_stopped(
    job: JobDirectory, state_dir: Path, workload: RegNetWorkload
) -> None:
    run = job.run("job-1-r1")
    write_control(run, Control(generation=1, token=1, want="stop", world_size=1, cause="cancel"))
    marker = run_main(job, workload, state_dir, 1)
    assert marker.outcome == "stopped"
    assert [r[1] for r in results(job)] == ["pending"] * 3


def test_a_ray_that_dies_ends_the_run_at_once(
    job: JobDirectory, state_dir: Path, make_workload: Callable[..., RegNetWorkload]
) -> None:
    workload = make_workload(trials=1)
    with start_main(job, workload, state_dir, 1) as process:
        left: list[psutil.Process] = []
        try:
            left = kill_head(job, psutil.Process(process.pid))
            process.wait(30)
        finally:
            process.kill()
            for each in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
    marker = last_word(job)
    assert (marker.outcome, marker.failure_class) == ("failed", "infrastructure")
    assert "gcs_server" in marker.message


def kill_head(job: JobDirectory, driver: psutil.Process) -> list[psutil.Process]:
    """Kill Ray's head once a trial runs; what is left of Ray, which an agent's guard would end."""
    deadline = time.monotonic() + 120
    while not any(row[1] == "running" for row in results(job)) and time.monotonic() < deadline:
        time.sleep(0.2)
    everything = driver.children(recursive=True)
    next(child for child in everything if child.name() == "gcs_server").kill()
    return everything
