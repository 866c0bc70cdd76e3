"""`python -m orchestrator.recipes.main` as the ranks of a run, each a real process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from orchestrator.spec.load import freeze_workload

from orchestrator.base.files import read_json
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.events import RunEvent, read_events
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.runtime.context import RunContext
from orchestrator.spec.regnet import RegNetWorkload

Tiny = Callable[..., RegNetWorkload]


def new_run(root: Path, workload: RegNetWorkload, number: int = 1) -> RunDirectory:
    job = JobDirectory.under(root, "job-a")
    job.create()
    job.spec.write_text(freeze_workload(workload))
    raise_fence(job, number)
    run = job.run(f"job-a-r{number}")
    run.create()
    return run


@contextmanager
def ranks(run: RunDirectory, world: int, token: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    common = {
        "ORCHESTRATOR_RUN_DIR": str(run.path),
        "ORCHESTRATOR_JOB": "job-a",
        "ORCHESTRATOR_RUN": run.run,
        "ORCHESTRATOR_ALLOCATION": f"{run.run}.0",
        "ORCHESTRATOR_TOKEN": str(token),
        "ORCHESTRATOR_SLOTS": str(world),
        "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    argv = [sys.executable, "-m", "orchestrator.recipes.main"]
    started = [
        subprocess.Popen(argv, env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(world)
    ]
    try:
        yield started
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


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[int, RunDirectory]:
    """Filled by the first test that needs a finished run of a world size."""
    return {}


@pytest.fixture
def run_of(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory, finished: dict[int, RunDirectory]) -> Any:
    def make(world: int) -> RunDirectory:
        if world not in finished:
            run = new_run(tmp_path_factory.mktemp(f"world{world}"), tiny())
            with ranks(run, world, 1) as started:
                assert [process.wait(120) for process in started] == [0] * world
            finished[world] = run
        return finished[world]

    return make


def test_every_rank_leaves_its_marker(run_of: Callable[[int], RunDirectory]) -> None:
    found = events(run_of(2), "rank_finished")
    assert [(event.writer, event.data["outcome"]) for event in found] == [
        ("rank-0", "succeeded"),
        ("rank-1", "succeeded"),
    ]


def test_progress_ends_with_all_samples(run_of: Callable[[int], RunDirectory]) -> None:
    last = events(run_of(2), "progress")[-1].data
    assert (last["done"], last["total"], last["unit"], last["eta_seconds"]) == (2156, 2156, "samples", 0)
    assert last["best_label"] == "val error"


def test_checkpoints_are_told_and_kept(run_of: Callable[[int], RunDirectory]) -> None:
    run = run_of(2)
    assert [event.data["samples"] for event in events(run, "checkpoint")] == [1078, 2156]
    assert Path(events(run, "checkpoint")[-1].data["path"]).is_dir()


def test_the_summary_has_validation_test_and_cost(run_of: Callable[[int], RunDirectory]) -> None:
    found = summary(run_of(1))
    assert found["val_error"] < 0.6
    assert found["test_accuracy"] == pytest.approx(1 - found["test_error"])
    assert found["complexity"]["flops"] > 0
    assert found["dataset"]["splits"] == {"train": 1078, "validation": 360, "test": 359}


def test_one_and_two_workers_find_the_same_parameters_and_results(run_of: Callable[[int], RunDirectory]) -> None:
    assert summary(run_of(1)) == summary(run_of(2))


def test_metrics_are_spooled_once_an_epoch(run_of: Callable[[int], RunDirectory]) -> None:
    folder = run_of(2).job.tracking
    assert [path.name for path in folder.iterdir()] == ["rank-0"]
    lines = [json.loads(line) for path in sorted(folder.glob("*/*.jsonl")) for line in path.read_text().splitlines()]
    steps = [line["step"] for line in lines if line["kind"] == "metrics" and "val_error" in line["values"]]
    assert steps == [1078, 2156]
    assert [line["status"] for line in lines if line["kind"] == "end"] == ["finished"]


def test_a_stopped_run_is_finished_by_the_next_one_on_another_world_size(
    tiny: Tiny, tmp_path: Path, run_of: Callable[[int], RunDirectory]
) -> None:
    run = new_run(tmp_path, tiny())
    write_control(run, Control(1, 1, "stop", 2, cause="preempt"))
    with ranks(run, 2, 1) as started:
        assert [process.wait(60) for process in started] == [0, 0]
    assert {event.data["outcome"] for event in events(run, "rank_finished")} == {"stopped"}
    assert [event.data["samples"] for event in events(run, "checkpoint")] == [64]
    second = new_run(tmp_path, tiny(), number=2)
    with ranks(second, 1, 2) as started:
        assert started[0].wait(120) == 0
    assert summary(second) == summary(run_of(1))


def test_a_diverging_run_fails_with_a_reason(tiny: Tiny, tmp_path: Path) -> None:
    run = new_run(tmp_path, tiny(optim={"lr": 1e30, "warmup_iterations": 0}))
    with ranks(run, 1, 1) as started:
        assert started[0].wait(120) == 1
    [marker] = events(run, "rank_finished")
    assert marker.data["outcome"] == "failed"
    assert marker.data["failure_class"] == "application"
    assert "the training loss is" in marker.data["message"]
    assert "optim.lr" in marker.data["message"]


def test_a_process_that_no_agent_started_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCHESTRATOR_RUN_DIR", raising=False)
    with pytest.raises(Exception, match="not a rank of a run"):
        RunContext.from_environment({})
