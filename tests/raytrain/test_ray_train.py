"""A training by Ray Train on a Ray of its own; `integration/test_ray_cluster.py` has one on a cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from ranks import PATIENCE, an_agent, events, new_run, one_rank, spooled, summary, until

from orchestrator.planning.launch import launch_for
from orchestrator.rundir.layout import RunDirectory
from orchestrator.spec.regnet import RegNetWorkload

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.full, pytest.mark.timeout(600)]


def test_a_worker_that_is_killed_costs_a_start_from_the_newest_checkpoint_and_no_bit(
    tiny: Callable[..., RegNetWorkload], tmp_path: Path
) -> None:
    own = new_run(tmp_path / "own", tiny(train={"epochs": 4}))
    assert one_rank(own) == 0
    workload = tiny(train={"epochs": 4}, elastic={"engine": "ray_train"}, resources={"workers": "1..2"})
    run = new_run(tmp_path / "ray", workload)
    launch = launch_for(workload, job="job-a", run=run.run, token=1, workers=2, workdir=str(tmp_path))
    with an_agent(run, launch) as agent:
        until(lambda: events(run, "checkpoint") or agent.poll() is not None)
        os.kill(one_worker(agent.pid), signal.SIGKILL)
        agent.wait(PATIENCE)
    assert events(run, "finished")[0].data["outcome"] == "succeeded", log(run)[-5000:]
    assert summary(run) == summary(own)

    [told] = events(run, "resized")
    assert (told.data["epoch"], events(run, "started")[0].data["world_size"]) == (2, 2)
    ends = {event.writer: event.data["outcome"] for event in events(run, "rank_finished")}
    assert (ends["rank-0"], ends["rank-2000"]) == ("succeeded", "succeeded")
    assert {record["step"] for record in spooled(run, "metrics")} >= {1078, 2156, 3234, 4312}
    assert {record["status"] for record in spooled(run, "end")} == {"finished"}
    assert "PlacementGroupCleaner" not in log(run)


def one_worker(agent: int) -> int:
    """A worker of Ray Train, by its process."""
    processes = psutil.Process(agent).children(recursive=True)
    return max(each.pid for each in processes if "RayTrainWorker" in " ".join(each.cmdline()))


def log(run: RunDirectory) -> str:
    return (run.logs / "rank-0.log").read_text()
