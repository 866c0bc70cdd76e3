"""Several agents of one run, as on several machines: each can be lost, and the run goes on."""

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.rundir.grant import Grant

ARGV = [sys.executable, "-P", str(Path(__file__).with_name("worker_script.py"))]
ALL = [0, 1000, 2000]


def start(bench: Any, indices: Iterable[int] = range(3), **changes: object) -> list[Any]:
    """Three agents with room for one worker each, in one view."""
    bench.prepare(ARGV, elastic=True, **{"workers": 3} | changes)
    agents = [bench.start(Grant(workers=1).to_text(), index=index) for index in indices]
    bench.until(lambda: bench.views()[-1:] == [[1000 * index for index in indices]])
    return agents


def finish(bench: Any, agents: list[Any]) -> Any:
    (bench.root / "finish").touch()
    assert [agent.wait(30) for agent in agents] == [0] * len(agents)
    return bench.event("finished")


def test_workers_of_several_allocations_share_one_view_and_one_end(bench: Any) -> None:
    agents = start(bench)
    finished = finish(bench, agents)
    assert (finished.data["outcome"], finished.writer) == ("succeeded", "agent-0")
    assert sorted(event.writer for event in bench.events("agent_finished")) == ["agent-1", "agent-2"]
    assert all(bench.files_of(index).has_finished() for index in range(3))


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_run_goes_on_whichever_agent_is_killed(bench: Any, lost: int) -> None:
    agents = start(bench)
    bench.agent_identity(lost).send(signal.SIGKILL)
    left = [number for number in ALL if number != 1000 * lost]
    bench.until(lambda: bench.views()[-1] == left)
    finished = finish(bench, [agent for index, agent in enumerate(agents) if index != lost])
    assert finished.data["outcome"] == "succeeded"
    assert finished.writer == ("agent-0" if lost else "agent-1")
    assert bench.events("started")[0].data == {"world_size": 3}
    assert len(bench.events("started")) == len(bench.events("finished")) == 1


@pytest.mark.parametrize("lost", [0, 2])
def test_a_run_goes_on_where_an_allocation_loses_its_guard(bench: Any, lost: int) -> None:
    agents = start(bench)
    agents[lost].kill()
    left = [number for number in ALL if number != 1000 * lost]
    bench.until(lambda: bench.views()[-1] == left)
    finished = finish(bench, [agent for index, agent in enumerate(agents) if index != lost])
    assert (finished.data["outcome"], finished.writer) == ("succeeded", "agent-0" if lost else "agent-1")
    assert bench.survivors(lost) == []


def test_a_frozen_coordinator_is_replaced_and_follows_when_it_wakes(bench: Any) -> None:
    agents = start(bench, lost_after=0.5)
    bench.agent_identity(0).send(signal.SIGSTOP)
    bench.until(lambda: "this agent coordinates" in log_of(bench, 1))
    bench.agent_identity(0).send(signal.SIGCONT)
    bench.until(lambda: "another agent coordinates now" in log_of(bench, 0))
    finished = finish(bench, agents)
    assert (finished.data["outcome"], finished.writer) == ("succeeded", "agent-1")


def test_workers_that_outlive_their_grace_time_do_not_stop_the_others(bench: Any) -> None:
    agents = start(bench)
    os.kill(bench.pid_of(1000), signal.SIGSTOP)
    bench.files_of(1).request_stop(0.3)
    agents[1].send_signal(signal.SIGTERM)
    assert agents[1].wait(30) == 0
    bench.until(lambda: bench.views()[-1] == [0, 2000])
    assert finish(bench, [agents[0], agents[2]]).data["outcome"] == "succeeded"


def test_an_end_that_a_dying_coordinator_could_not_write_down_is_written_by_the_next(bench: Any) -> None:
    agents = start(bench)
    os.kill(bench.pid_of(0), signal.SIGSTOP)  # so that its agent waits for it
    (bench.root / "fail-1000").touch()
    bench.until(lambda: len(bench.events("rank_finished")) == 2)
    bench.agent_identity(0).send(signal.SIGKILL)
    assert [agent.wait(30) for agent in agents[1:]] == [1, 1]
    finished = bench.event("finished")
    assert (finished.writer, finished.data["failure_class"]) == ("agent-1", "data")


def log_of(bench: Any, index: int) -> str:
    return str(bench.files_of(index).log.read_text())


def test_a_run_survives_the_loss_of_one_coordinator_after_another(bench: Any) -> None:
    agents = start(bench)
    bench.agent_identity(0).send(signal.SIGKILL)
    bench.until(lambda: bench.views()[-1] == [1000, 2000])
    bench.agent_identity(1).send(signal.SIGKILL)
    bench.until(lambda: bench.views()[-1] == [2000])
    finished = finish(bench, agents[2:])
    assert (finished.data["outcome"], finished.writer) == ("succeeded", "agent-2")


def test_an_agent_that_comes_later_joins_the_run(bench: Any) -> None:
    bench.prepare(ARGV, elastic=True, workers=1)
    first = bench.start(Grant(workers=1).to_text())
    bench.until(lambda: bench.views() == [[0]])
    second = bench.start(Grant(workers=2).to_text(), index=1)
    bench.resize(3)
    bench.until(lambda: bench.views()[-1] == [0, 1000, 1001])
    assert finish(bench, [first, second]).data["outcome"] == "succeeded"


@pytest.mark.parametrize("index", [0, 1])
def test_an_allocation_that_is_told_to_go_leaves_in_good_order(bench: Any, index: int) -> None:
    agents = start(bench)
    agents[index].send_signal(signal.SIGTERM)
    assert agents[index].wait(30) == 0
    left = [number for number in ALL if number != 1000 * index]
    bench.until(lambda: bench.views()[-1] == left)
    assert [e.data["outcome"] for e in bench.events("rank_finished")] == ["left"]
    assert bench.files_of(index).has_finished()
    finished = finish(bench, [agent for i, agent in enumerate(agents) if i != index])
    assert finished.data["outcome"] == "succeeded"


@pytest.mark.parametrize("index", [0, 1])
def test_a_run_stops_where_too_few_would_be_left_without_an_allocation(bench: Any, index: int) -> None:
    agents = start(bench, min_workers=3)
    agents[index].send_signal(signal.SIGUSR1)
    assert [agent.wait(30) for agent in agents] == [0, 0, 0]
    finished = bench.event("finished")
    assert (finished.data["outcome"], finished.data["cause"]) == ("stopped", "preempt")
    assert [e.data["outcome"] for e in bench.events("rank_finished")] == ["stopped"] * 3


@pytest.mark.parametrize(("count", "gap"), [(2, 0.0), (2, 0.3), (3, 0.0)])
def test_allocations_that_are_told_to_go_at_once_end_the_run_in_good_order(bench: Any, count: int, gap: float) -> None:
    agents = start(bench, range(count), workers=count)
    for agent in agents:
        agent.send_signal(signal.SIGUSR1)
        time.sleep(gap)
    assert [agent.wait(15) for agent in agents] == [0] * count
    finished = bench.event("finished")
    assert (finished.data["outcome"], finished.data["cause"]) == ("stopped", "preempt")
    words = [e.data["outcome"] for e in bench.events("rank_finished")]
    assert len(words) == count, "everyone has ended by itself"
    assert "stopped" in words
    assert set(words) <= {"stopped", "left"}


def test_a_time_limit_that_allocations_share_stops_the_run_with_time_to_save(bench: Any) -> None:
    bench.prepare(ARGV, elastic=True, workers=2)
    agents = [bench.start(Grant(workers=1, time_limit=4.0).to_text(), index=index) for index in range(2)]
    assert [agent.wait(20) for agent in agents] == [0, 0]
    finished = bench.event("finished")
    assert (finished.data["cause"], finished.data["failure_class"]) == ("time_limit", "time_limit")
    assert "stopped" in [e.data["outcome"] for e in bench.events("rank_finished")]


def test_a_stop_of_the_run_reaches_every_allocation(bench: Any) -> None:
    agents = start(bench)
    bench.control("stop", "cancel", grace=20)
    assert [agent.wait(30) for agent in agents] == [0, 0, 0]
    assert bench.event("finished").data["cause"] == "cancel"
    assert sorted(e.data["outcome"] for e in bench.events("rank_finished")) == ["stopped"] * 3
