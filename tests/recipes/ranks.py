"""Starts a plain run, as one worker in this process or as an agent with several, and reads what they left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from orchestrator.base.files import read_json
from orchestrator.recipes.main import main
from orchestrator.rundir.events import RunEvent, read_events
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.grant import GRANT, Grant
from orchestrator.rundir.launch import Launch, write_launch
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.spec.load import freeze_workload
from orchestrator.spec.regnet import RegNetWorkload

PATIENCE = 180.0


def new_run(root: Path, workload: RegNetWorkload, number: int = 1) -> RunDirectory:
    job = JobDirectory.under(root, "job-a")
    job.create()
    job.spec.write_text(freeze_workload(workload))
    raise_fence(job, number)
    run = job.run(f"job-a-r{number}")
    run.create()
    return run


def environment(run: RunDirectory, token: int) -> dict[str, str]:
    return {
        "ORCHESTRATOR_RUN_DIR": str(run.path),
        "ORCHESTRATOR_JOB": "job-a",
        "ORCHESTRATOR_RUN": run.run,
        "ORCHESTRATOR_ALLOCATION": f"{run.run}.0",
        "ORCHESTRATOR_FENCING_TOKEN": str(token),
        "RANK": "0",
        "OMP_NUM_THREADS": "1",
    }


def one_rank(run: RunDirectory, token: int = 1) -> int:
    """The exit code of a worker alone, in this process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        with mock.patch.dict(os.environ, environment(run, token)):
            return main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def several_workers(run: RunDirectory, token: int, workers: int) -> Iterator[subprocess.Popen[bytes]]:
    """An agent that starts workers, and none in the place of lost ones."""
    argv = (sys.executable, "-P", "-m", "orchestrator.recipes.main")
    launch = Launch("job-a", run.run, token, argv, str(run.path), workers, elastic=True, replacements=0)
    with an_agent(run, launch) as agent:
        yield agent


@contextmanager
def an_agent(run: RunDirectory, launch: Launch) -> Iterator[subprocess.Popen[bytes]]:
    """An agent that starts what the launch says."""
    write_launch(run, launch)
    allocation = f"{run.run}-{os.getpid()}-{abs(hash(run.path)) % 10**9}.0"
    command = [sys.executable, "-P", "-m", "orchestrator.runtime.agent", str(run.path), allocation]
    agent = subprocess.Popen(command, env=os.environ | {GRANT: Grant(workers=launch.workers).to_text()})
    try:
        yield agent
    finally:
        agent.terminate()
        agent.wait(30)


def many_workers(run: RunDirectory, token: int, workers: int) -> Mapping[str, Any]:
    """Workers of one agent train to the end; how the run finished."""
    with several_workers(run, token, workers) as agent:
        agent.wait(PATIENCE)
    [finished] = events(run, "finished")
    return finished.data


def until(met: Callable[[], object]) -> None:
    """Wait for what other processes do."""
    deadline = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def events(run: RunDirectory, kind: str) -> list[RunEvent]:
    return [event for event in read_events(run, {}) if event.kind == kind]


def summary(run: RunDirectory) -> dict[str, Any]:
    found = read_json(run.job.results / "summary.json")
    assert found is not None
    return found


def spooled(run: RunDirectory, kind: str) -> list[dict[str, Any]]:
    """The tracker's records of one kind, writer by writer."""
    files = sorted(run.job.tracking.glob("*/*.jsonl"))
    records = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    return [record for record in records if record["kind"] == kind]
