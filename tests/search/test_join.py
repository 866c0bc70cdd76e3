"""A search on several nodes: the driver's Ray and, on the same host, the nodes that join it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from orchestrator.base.errors import Conflict
from orchestrator.base.process import processes_with_environment
from orchestrator.onray.meeting import Head, RayMeeting
from orchestrator.rundir.allocations import MARK
from orchestrator.rundir.launch import Launch, write_launch
from orchestrator.rundir.layout import JobDirectory
from orchestrator.search.records import TrialRecord, TrialRecords
from orchestrator.spec.load import freeze_workload
from orchestrator.spec.regnet import RegNetWorkload

RUN = "job-1-r1"
MakeWorkload = Callable[..., RegNetWorkload]


DRIVER = """
import sys
from pathlib import Path
from orchestrator.blueprint.workload import population_of
from orchestrator.rundir.layout import JobDirectory
from orchestrator.runtime.durable import DurableEvents
from orchestrator.search.driver import SearchRun, run_trials
from orchestrator.search.ledger import Ledger
from orchestrator.search.population import fresh_trials
from orchestrator.search.records import TrialRecords
from orchestrator.search.voice import Voice
from orchestrator.spec.load import thaw_workload
from orchestrator.tracking.protocol import Discard

job = JobDirectory(Path(sys.argv[1]))
workload = thaw_workload(job.spec.read_text())
trials = fresh_trials(population_of(workload, in_channels=1, num_classes=10), workload, job)
voice = Voice(DurableEvents(job.run("job-1-r1"), "rank-0", 1), Discard(), "job-1")
ledger = Ledger(trials, TrialRecords(job, 1), voice, epochs=4, samples_per_epoch=100)
run = SearchRun(job, job.run("job-1-r1"), 1, 2, print, "trainer_for_tests:train", elsewhere=1)
sys.exit(0 if run_trials(run, workload, ledger, lambda: False) else 3)
"""

JOIN = ("-m", "orchestrator.onray.join")
PRETENDED = (
    "-c",
    """
import subprocess, sys
from orchestrator.onray import join

def start_raylet(node, head, folder):
    return subprocess.Popen(["sh", "-c", "echo a pretended raylet; touch $0/socket; sleep 600", str(folder)])

join.start_raylet = start_raylet
sys.exit(join.main())
""",
)


@contextmanager
def joiner(job: JobDirectory, number: int, program: Sequence[str] = JOIN) -> Iterator["subprocess.Popen[bytes]"]:
    """A further node of one slot, as its agent would start it; Ray's part of it may be a pretended one."""
    run = job.run(RUN)
    environment = os.environ | {
        "ORCHESTRATOR_RUN_DIR": str(run.path),
        "ORCHESTRATOR_NODE_SLOTS": "1",
        "ORCHESTRATOR_HOST": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
        MARK: f"{RUN}.{number}",
    }
    command = [sys.executable, "-P", *program]
    with open(run.logs / f"join-{number}.log", "wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        kill_all(number)


def kill_all(number: int) -> None:
    """End every process of a node; with the first of them others may end by themselves."""
    for left in processes_with_environment(MARK, f"{RUN}.{number}"):
        left.send(signal.SIGKILL)


def joined(job: JobDirectory) -> str:
    """What the first further node has said."""
    return (job.run(RUN).logs / "join-1.log").read_text()


def places(job: JobDirectory) -> list[list[str]]:
    """Where each trial was started."""
    return [path.read_text().split() for path in sorted(job.path.glob("places-*"))]


@contextmanager
def driver(job: JobDirectory, workload: RegNetWorkload) -> Iterator["subprocess.Popen[bytes]"]:
    """The driver, with one slot of its own and one elsewhere."""
    job.spec.write_text(freeze_workload(workload))
    with open(job.run(RUN).logs / "rank-0.log", "wb") as log:
        command = [sys.executable, "-c", DRIVER, str(job.path)]
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def records(job: JobDirectory) -> list[TrialRecord]:
    return list(TrialRecords(job, 1).load().values())


@pytest.fixture
def launched(job: JobDirectory) -> JobDirectory:
    """A run whose launch is written down."""
    write_launch(job.run(RUN), Launch("job-1", RUN, 1, ("driver",), "/", workers=2, ranks_share_slots=True))
    return job


@pytest.mark.ray
def test_trials_run_on_every_node_and_those_of_a_lost_one_run_again(
    launched: JobDirectory, make_workload: MakeWorkload, trainer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # somebody's shell may have it
    job = launched
    for index in range(2):
        (job.path / f"hold-{index}").touch()
    with driver(job, make_workload(trials=2)) as process, joiner(job, 1) as lost:
        while not all((job.path / f"held-{index}").exists() for index in range(2)):
            assert process.poll() is None, (job.run(RUN).logs / "rank-0.log").read_text()
            time.sleep(0.1)
        kill_all(1)
        for index in range(2):
            (job.path / f"hold-{index}").unlink()
        assert process.wait(120) == 0
        assert lost.wait(10) == -signal.SIGKILL
    assert [record.state for record in records(job)] == ["succeeded"] * 2
    assert sorted(places(job)) == [["here"], [f"{RUN}.1", "here"]]


def test_a_node_leaves_nothing_behind_when_the_search_is_over(launched: JobDirectory) -> None:
    meeting = RayMeeting(launched.run(RUN))
    with socket.create_server(("127.0.0.1", 0)) as head:
        meeting.announce(Head(f"127.0.0.1:{head.getsockname()[1]}", "secret"))
        with joiner(launched, 1, PRETENDED) as node:
            while "raylet" not in (log := joined(launched)):
                assert node.poll() is None, log
                time.sleep(0.05)
            meeting.end()
            assert node.wait(30) == 0
            assert not processes_with_environment(MARK, f"{RUN}.1")
    assert "the search is over" in joined(launched)
    assert not list(Path("/tmp").glob(f"orch-ray-{node.pid}-*"))


def test_a_node_ends_when_the_head_is_gone(launched: JobDirectory) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    RayMeeting(launched.run(RUN)).announce(Head(f"127.0.0.1:{port}", "secret"))
    with joiner(launched, 1, PRETENDED) as node:
        assert node.wait(30) == 1
        assert not processes_with_environment(MARK, f"{RUN}.1")
    assert f"Ray's head at 127.0.0.1:{port} is gone" in joined(launched)
    assert not list(Path("/tmp").glob(f"orch-ray-{node.pid}-*"))


def test_a_node_that_is_not_needed_ends_before_it_has_joined(launched: JobDirectory) -> None:
    RayMeeting(launched.run(RUN)).end()
    with joiner(launched, 1) as process:
        assert process.wait(20) == 0


def test_the_heads_token_is_for_the_runs_account_alone_and_announced_once(job: JobDirectory) -> None:
    meeting = RayMeeting(job.run(RUN))
    assert meeting.head() is None
    meeting.announce(Head("10.0.0.1:6379", "secret"))
    assert RayMeeting(job.run(RUN)).head() == Head("10.0.0.1:6379", "secret")
    file = job.run(RUN).path / "ray" / "head.json"
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Conflict):
        meeting.announce(Head("10.0.0.2:6379", "other"))
