"""Agents of an array: its workers know nothing of each other, and one that is lost ends none of the others."""

import json
import sys
from typing import Any

from orchestrator.rundir.control import Control, write_control
from orchestrator.runtime.array import concerns_all, judge_array
from orchestrator.runtime.markers import Marker, WorkerOutcome
from orchestrator.runtime.outcome import RankEnd

WORKER = """
import os, signal, sys, time
from orchestrator.runtime.context import RunContext
context = RunContext.from_environment()
plan = dict(part.split("=") for part in sys.argv[1:])
what = plan[str(context.number)]
if what == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if what == "last":
    time.sleep(float(plan["after"]))
    context.finish("succeeded", "all is done")
elif what == "waits":
    while (request := context.should_stop()) is None:
        time.sleep(0.05)
    context.finish("stopped", f"stopped by {request.cause}")
elif what == "failed":
    context.finish("failed", "no models", "permanent")
else:
    context.finish("left", "nothing to do")
"""


def end(rank: int, outcome: WorkerOutcome | None, exit_code: int = 0, failure: str | None = None) -> RankEnd:
    marker = None if outcome is None else Marker(outcome, f"rank {rank} says so", failure, float(rank))
    return RankEnd(rank, exit_code, marker, owes_marker=True)


def plan(**parts: str) -> list[str]:
    return [sys.executable, "-c", WORKER, *(f"{name.removeprefix('r')}={what}" for name, what in parts.items())]


def test_who_did_the_last_of_the_work_says_how_it_ended() -> None:
    outcome = judge_array([end(0, "left"), end(1, None, -9), end(2, "succeeded")])
    assert (outcome.outcome, outcome.message) == ("succeeded", "rank 2 says so")
    outcome = judge_array([end(0, "left"), end(1, "failed", 1, "data")])
    assert (outcome.outcome, outcome.failure_class) == ("failed", "data")


def test_ranks_that_were_lost_or_have_left_are_no_affair_of_the_others() -> None:
    assert [concerns_all(end(0, word)) for word in ("left", "stopped", "failed", "succeeded", None)] == [
        False,
        False,
        True,
        True,
        False,
    ]
    lost = judge_array([end(0, "left"), end(1, None, -9)])
    assert (lost.outcome, lost.failure_class) == ("failed", "infrastructure")
    assert judge_array([end(0, "left"), end(1, "left")]).outcome == "stopped"


def test_a_rank_that_is_lost_ends_none_of_the_others(bench: Any) -> None:
    finished = bench.execute(plan(r0="left", r1="killed", r2="last", after="0.5"), workers=3, array=True)
    assert (finished.data["outcome"], finished.data["message"]) == ("succeeded", "all is done")


def test_a_rank_that_says_that_the_work_has_failed_ends_the_others(bench: Any) -> None:
    finished = bench.execute(plan(r0="failed", r1="waits"), workers=2, array=True)
    assert (finished.data["outcome"], finished.data["failure_class"]) == ("failed", "permanent")
    assert "no models" in finished.data["message"]


def test_where_the_engine_starts_each_worker_by_itself_the_last_agent_speaks_for_the_run(bench: Any) -> None:
    bench.prepare(plan(r0="left", r1="killed", r2="last", after="0"), workers=3, array=True)
    for index in range(3):
        bench.start(json.dumps({"workers": 1, "node": f"n{index}"}), index=index).wait(30)
    assert [e.data["nodes"] for e in bench.events("started")] == [{"n0": 1}, {"n1": 1}, {"n2": 1}]
    ends = {
        e.writer: (e.kind, e.data["outcome"]) for kind in ("finished", "agent_finished") for e in bench.events(kind)
    }
    assert ends == {
        "agent-0": ("agent_finished", "stopped"),
        "agent-1": ("agent_finished", "failed"),
        "agent-2": ("finished", "succeeded"),
    }


def test_a_worker_that_is_told_to_go_is_not_the_end_of_the_array_but_a_stop_of_the_run_is(bench: Any) -> None:
    bench.prepare(plan(r0="waits", r1="waits"), workers=2, array=True)
    agents = [bench.start(json.dumps({"workers": 1, "node": "n1"}), index=index) for index in range(2)]
    bench.until(lambda: all((bench.run.events / f"rank-{index}").is_dir() for index in range(2)))
    bench.files_of(0).request_stop(5.0, "preempt")
    agents[0].wait(30)
    assert [e.writer for e in bench.events("agent_finished")] == ["agent-0"]
    assert bench.events("finished") == []
    write_control(bench.run, Control(1, 3, "stop", 1, cause="cancel"))
    agents[1].wait(30)
    assert [(e.writer, e.data["cause"]) for e in bench.events("finished")] == [("agent-1", "cancel")]
