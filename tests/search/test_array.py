"""Workers of an array as processes of this machine, with a trainer that counts its starts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from orchestrator.rundir.events import read_events
from orchestrator.rundir.layout import JobDirectory
from orchestrator.runtime.markers import Marker, read_marker
from orchestrator.search.faults import LOST_RETRIES
from orchestrator.search.records import TrialRecord, TrialRecords
from orchestrator.search.trial import TrialFailed, TrialTask
from orchestrator.search.trialprocess import TrialProcess
from orchestrator.spec.load import freeze_workload
from orchestrator.spec.regnet import RegNetWorkload

RUN = "job-1-r1"
MakeWorkload = Callable[..., RegNetWorkload]

WORKER = """
from orchestrator.blueprint.workload import population_of
from orchestrator.runtime.context import RunContext
from orchestrator.search.arrayworker import ArrayWorker
from orchestrator.search.finish import Origin
from orchestrator.search.population import fresh_trials
from orchestrator.search.records import TrialRecords
from orchestrator.search.setting import Setting
from orchestrator.spec.load import thaw_workload
from orchestrator.tracking.protocol import Discard

context = RunContext.from_environment()
workload = thaw_workload(context.job.spec.read_text())
fresh = fresh_trials(population_of(workload, in_channels=1, num_classes=10), workload, context.job)
origin = Origin(3, {}, "digits", "v1", {"train": 100, "validation": 10})
records = TrialRecords(context.job, context.token)
setting = Setting(context, workload, Discard(), origin, records, fresh, 100)
ending = ArrayWorker(setting, trainer="trainer_for_tests:train").work()
context.finish(ending.outcome, ending.message, ending.failure_class)
"""


@contextmanager
def worker(job: JobDirectory, number: int) -> Iterator["subprocess.Popen[bytes]"]:
    """One worker of two, as its agent would start it."""
    run = job.run(RUN)
    environment = os.environ | {
        "ORCHESTRATOR_RUN_DIR": str(run.path),
        "ORCHESTRATOR_ALLOCATION": f"{RUN}.{number}",
        "ORCHESTRATOR_FENCING_TOKEN": "1",
        "RANK": str(number),
        "OMP_NUM_THREADS": "1",
    }
    with open(run.logs / f"rank-{number}.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def started(job: JobDirectory, workload: RegNetWorkload, stack: ExitStack) -> "list[subprocess.Popen[bytes]]":
    job.spec.write_text(freeze_workload(workload))
    return [stack.enter_context(worker(job, number)) for number in range(2)]


def records(job: JobDirectory) -> list[TrialRecord]:
    return list(TrialRecords(job, 1).load().values())


def starts(job: JobDirectory) -> list[int]:
    return [len((job.path / f"starts-{index}").read_text()) for index in range(3)]


def owner(job: JobDirectory, index: int) -> int:
    """Which of the workers runs a trial."""
    number = json.loads((job.run(RUN).path / "array" / "claims" / f"trial-{index:05d}.0").read_text())["worker"]
    assert isinstance(number, int)
    return number


def marker(job: JobDirectory, number: int) -> Marker:
    found = read_marker(job.run(RUN), number)
    assert found is not None, (job.run(RUN).logs / f"rank-{number}.log").read_text()
    return found


def hold(job: JobDirectory, *indices: int) -> None:
    for index in indices:
        (job.path / f"hold-{index}").touch()


def wait_until_held(job: JobDirectory, *indices: int) -> None:
    deadline = time.monotonic() + 60
    while not all((job.path / f"held-{index}").exists() for index in indices):
        assert time.monotonic() < deadline, [p.read_text() for p in job.run(RUN).logs.iterdir()]
        time.sleep(0.05)


def let_go(job: JobDirectory, *indices: int) -> None:
    for index in indices:
        (job.path / f"hold-{index}").unlink()


def test_two_workers_run_each_trial_once_and_one_of_them_finishes(
    job: JobDirectory, make_workload: MakeWorkload, trainer: str
) -> None:
    hold(job, 0, 1)
    with ExitStack() as stack:
        workers = started(job, make_workload(engine="array", bootstrap=0), stack)
        wait_until_held(job, 0, 1)
        assert {owner(job, 0), owner(job, 1)} == {0, 1}
        let_go(job, 0, 1)
        assert [process.wait(60) for process in workers] == [0, 0]
    assert [(r.state, r.epochs, r.attempts) for r in records(job)] == [("succeeded", 4, 1)] * 3
    assert starts(job) == [1, 1, 1]
    assert sorted(marker(job, number).outcome for number in range(2)) == ["left", "succeeded"]
    summary = json.loads((job.results / "summary.json").read_text())
    assert summary["trials"] == {"total": 3, "succeeded": 3}
    told = [event.data["done"] for event in read_events(job.run(RUN), {}) if event.kind == "progress"]
    assert max(told) == 3


def test_the_trial_of_a_worker_that_is_killed_is_run_by_the_other(
    job: JobDirectory, make_workload: MakeWorkload, trainer: str
) -> None:
    hold(job, 0, 1)
    with ExitStack() as stack:
        workers = started(job, make_workload(engine="array", bootstrap=0), stack)
        wait_until_held(job, 0, 1)
        lost = owner(job, 1)
        os.killpg(workers[lost].pid, signal.SIGKILL)
        let_go(job, 0, 1)
        assert workers[1 - lost].wait(60) == 0
    assert [(r.state, r.epochs) for r in records(job)] == [("succeeded", 4)] * 3
    assert starts(job) == [1, 2, 1]
    assert marker(job, 1 - lost).outcome == "succeeded"
    words = [e.data.get("message") for e in read_events(job.run(RUN), {}) if e.kind == "trial"]
    assert "its worker was lost" in words


def test_a_worker_that_is_asked_to_stop_leaves_its_trial_to_the_others_and_that_is_no_failure(
    job: JobDirectory, make_workload: MakeWorkload, trainer: str
) -> None:
    hold(job, 0, 1)
    with ExitStack() as stack:
        workers = started(job, make_workload(engine="array", bootstrap=0, retries=0), stack)
        wait_until_held(job, 0, 1)
        leaves = owner(job, 1)
        workers[leaves].send_signal(signal.SIGTERM)
        assert workers[leaves].wait(60) == 0
        assert records(job)[1].state == "pending"
        let_go(job, 0, 1)
        assert workers[1 - leaves].wait(60) == 0
    assert [(r.state, r.epochs) for r in records(job)] == [("succeeded", 4)] * 3
    assert marker(job, leaves).outcome == "stopped"
    assert marker(job, 1 - leaves).outcome == "succeeded"


def test_a_trial_that_fails_is_tried_again_and_ends_no_other(
    job: JobDirectory, make_workload: MakeWorkload, trainer: str
) -> None:
    (job.path / "fail-1").touch()
    (job.path / "die-2").touch()
    with ExitStack() as stack:
        workers = started(job, make_workload(engine="array", bootstrap=0, retries=1), stack)
        assert [process.wait(60) for process in workers] == [0, 0]
    found = records(job)
    assert [r.state for r in found] == ["succeeded", "failed", "failed"]
    assert (found[1].message, found[1].failure_class) == ("RuntimeError: the trial broke", "application")
    assert (found[2].message, found[2].failure_class) == ("its process was ended by signal 9", "infrastructure")
    assert starts(job) == [1, 2, 1 + LOST_RETRIES]
    failed = next(marker(job, number) for number in range(2) if marker(job, number).outcome == "failed")
    assert "most trials failed" in failed.message


def test_one_process_runs_trial_after_trial(
    job: JobDirectory, trials: tuple[TrialRecord, ...], trainer: str, tmp_path: Path
) -> None:
    TrialRecords(job, 1).save_all(trials)
    process, ends = TrialProcess(), []
    try:
        for index in (0, 1):
            task = TrialTask(str(job.path), 1, index, trainer, str(tmp_path), str(job.run(RUN).path))
            process.run(task, lambda report: ends.append(report.get("end")), lambda: None)
        (job.path / "die-2").touch()
        task = TrialTask(str(job.path), 1, 2, trainer, str(tmp_path), str(job.run(RUN).path))
        with pytest.raises(TrialFailed, match="infrastructure: its process was ended by signal 9"):
            process.run(task, lambda report: None, lambda: None)
    finally:
        process.close()
    assert ends == [None, None, None, "finished"] * 2
    places = [(job.path / f"process-{index}").read_text() for index in range(3)]
    assert len(set(places)) == 1
