"""A run of the recipe whose workers die and leave: it ends with the parameters and results of an undisturbed one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from ranks import PATIENCE, events, new_run, one_rank, several_workers, spooled, summary, until

from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.layout import RunDirectory
from orchestrator.spec.regnet import RegNetWorkload


def members(run: RunDirectory) -> list[int]:
    """Of the newest view."""
    told = sorted(events(run, "resized"), key=lambda event: event.time)
    return [member["number"] for member in told[-1].data["members"]] if told else []


def reached(run: RunDirectory, samples: int) -> bool:
    return any(event.data["samples"] >= samples for event in events(run, "progress"))


def test_a_run_that_loses_its_leader_and_shrinks_ends_as_if_nothing_had_happened(
    tiny: Callable[..., RegNetWorkload], tmp_path: Path
) -> None:
    workload = tiny(train={"epochs": 3})
    undisturbed = new_run(tmp_path / "one", workload)
    assert one_rank(undisturbed) == 0
    run = new_run(tmp_path / "many", workload)
    with several_workers(run, 1, 3) as agent:
        until(lambda: reached(run, 64))
        [first] = events(run, "resized")
        os.kill(first.data["members"][0]["pid"], signal.SIGKILL)
        until(lambda: members(run) == [1, 2])
        write_control(run, Control(1, 1, "run", 1))
        until(lambda: members(run) == [1])
        agent.wait(PATIENCE)
    assert events(run, "finished")[0].data["outcome"] == "succeeded"
    assert summary(run) == summary(undisturbed)
    outcomes = {event.writer: event.data["outcome"] for event in events(run, "rank_finished")}
    assert outcomes == {"rank-1": "succeeded", "rank-2": "left"}
    assert sorted(path.name for path in run.job.tracking.iterdir()) == ["rank-0", "rank-1"]
    assert {record["step"] for record in spooled(run, "metrics")} >= {1078, 2156, 3234}
