"""Starts ranks of a plain run, in this process or as processes of their own, and reads what they left."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from orchestrator.base.files import read_json
from orchestrator.recipes.main import main
from orchestrator.rundir.events import RunEvent, read_events
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.spec.load import freeze_workload
from orchestrator.spec.regnet import RegNetWorkload


def new_run(root: Path, workload: RegNetWorkload, number: int = 1) -> RunDirectory:
    job = JobDirectory.under(root, "job-a")
    job.create()
    job.spec.write_text(freeze_workload(workload))
    raise_fence(job, number)
    run = job.run(f"job-a-r{number}")
    run.create()
    return run


def environment(run: RunDirectory, token: int, world: int, rank: int) -> dict[str, str]:
    return {
        "ORCHESTRATOR_RUN_DIR": str(run.path),
        "ORCHESTRATOR_JOB": "job-a",
        "ORCHESTRATOR_RUN": run.run,
        "ORCHESTRATOR_ALLOCATION": f"{run.run}.0",
        "ORCHESTRATOR_FENCING_TOKEN": str(token),
        "ORCHESTRATOR_SLOTS": str(world),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
    }


def one_rank(run: RunDirectory, token: int = 1) -> int:
    """The exit code of a world of one, in this process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        with mock.patch.dict(os.environ, environment(run, token, 1, 0)):
            return main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def many_ranks(run: RunDirectory, token: int, world: int) -> list[int]:
    """The exit codes of ranks that are processes of their own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = {"MASTER_PORT": str(free.getsockname()[1])}
    argv = [sys.executable, "-m", "orchestrator.recipes.main"]
    started = [
        subprocess.Popen(argv, env=os.environ | environment(run, token, world, rank) | port) for rank in range(world)
    ]
    try:
        return [process.wait(120) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()


def events(run: RunDirectory, kind: str) -> list[RunEvent]:
    return [event for event in read_events(run, {}) if event.kind == kind]


def summary(run: RunDirectory) -> dict[str, Any]:
    found = read_json(run.job.results / "summary.json")
    assert found is not None
    return found


def spooled(run: RunDirectory, kind: str) -> list[dict[str, Any]]:
    """The tracker's records of one kind, as rank 0 wrote them."""
    files = sorted(run.job.tracking.glob("*/*.jsonl"))
    records = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    return [record for record in records if record["kind"] == kind]
