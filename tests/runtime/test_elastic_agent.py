"""An agent of an elastic run: workers come, go, die and are replaced while the run goes on."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.process import processes_with_environment
from orchestrator.rundir.allocations import MARK
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.grant import Grant

ARGV = [sys.executable, "-P", str(Path(__file__).with_name("worker_script.py"))]


def start(bench: Any, workers: int, *, room: int = 4, **changes: object) -> Any:
    """Start one agent and wait for the first view."""
    bench.prepare(ARGV, elastic=True, workers=workers, **changes)
    agent = bench.start(Grant(workers=room).to_text())
    bench.until(lambda: len(bench.views()) == 1)
    return agent


def end(bench: Any, agent: Any) -> Any:
    """Let the workers finish; the `finished` event."""
    (bench.root / "finish").touch()
    assert agent.wait(30) == 0
    return bench.event("finished")


def test_a_run_whose_workers_all_succeed_succeeds(bench: Any) -> None:
    agent = start(bench, 2)
    assert bench.event("started").data == {"world_size": 2}
    assert bench.views() == [[0, 1]]
    finished = end(bench, agent)
    assert finished.data["outcome"] == "succeeded"
    assert finished.data["message"].startswith("succeeded at step")
    assert (finished.writer, bench.survivors()) == ("agent-0", [])


def test_a_wish_for_more_workers_starts_them_and_the_others_keep_their_processes(bench: Any) -> None:
    agent = start(bench, 1)
    bench.resize(3)
    bench.until(lambda: bench.views()[-1] == [0, 1, 2])
    first, *_, last = bench.events("resized")
    assert first.data["members"][0] == last.data["members"][0]
    assert (last.data["world_size"], last.data["cause"]) == (3, "resize")
    assert end(bench, agent).data["outcome"] == "succeeded"


def test_a_wish_for_fewer_workers_lets_the_highest_leave(bench: Any) -> None:
    agent = start(bench, 3)
    bench.resize(1)
    bench.until(lambda: bench.views()[-1] == [0])
    bench.until(lambda: len(bench.survivors()) == 1)
    end(bench, agent)
    outcomes = {event.writer: event.data["outcome"] for event in bench.events("rank_finished")}
    assert outcomes == {"rank-0": "succeeded", "rank-1": "left", "rank-2": "left"}


def test_a_killed_worker_is_replaced_by_one_with_a_new_number(bench: Any) -> None:
    agent = start(bench, 2)
    os.kill(bench.pid_of(0), signal.SIGKILL)
    bench.until(lambda: bench.views()[-1] == [1, 2])
    assert [event.data["cause"] for event in bench.events("resized")] == ["start", "lost", "joined"]
    (lost,) = bench.events("worker_lost")
    assert (lost.data["number"], lost.data["failure_class"]) == (0, "infrastructure")
    assert "was ended by SIGKILL" in lost.data["message"]
    assert end(bench, agent).data["outcome"] == "succeeded"


def test_a_helper_that_left_its_worker_s_group_ends_before_its_place_is_given_away(bench: Any) -> None:
    helper = "import os, time; os.setsid(); open('helper-' + os.environ['ORCHESTRATOR_WORKER'], 'x'); time.sleep(600)"
    worker = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {helper!r}]); sys.argv = sys.argv[1:]; "
    worker += "exec(open(sys.argv[0]).read())"
    bench.prepare([sys.executable, "-c", worker, ARGV[-1]], elastic=True, workers=2)
    agent = bench.start(Grant(workers=2).to_text())
    bench.until(lambda: bench.views() == [[0, 1]] and len(list(bench.root.glob("helper-*"))) == 2)
    os.kill(bench.pid_of(0), signal.SIGKILL)
    bench.until(lambda: bench.views()[-1] == [1, 2])
    marks = [(MARK, bench.allocation), ("ORCHESTRATOR_WORKER", "0")]
    assert processes_with_environment(*marks[0], marks[1]) == []
    assert end(bench, agent).data["outcome"] == "succeeded"


def test_a_frozen_worker_is_ended_and_replaced(bench: Any) -> None:
    agent = start(bench, 2, lost_after=0.5)
    os.kill(bench.pid_of(1), signal.SIGSTOP)
    bench.until(lambda: bench.views()[-1] == [0, 2])
    assert end(bench, agent).data["outcome"] == "succeeded"
    assert bench.survivors() == []


def test_a_worker_that_holds_up_the_others_is_ended_and_replaced(bench: Any) -> None:
    agent = start(bench, 3, hang_after=1.0)
    (bench.root / "stall-1").touch()
    (bench.root / "stall").touch()
    bench.until(lambda: bench.views()[-1] in ([0, 2], [0, 2, 3]))
    (bench.root / "stall").unlink()
    bench.until(lambda: bench.views()[-1] == [0, 2, 3])
    assert end(bench, agent).data["outcome"] == "succeeded"


def test_a_worker_that_says_it_failed_ends_the_run(bench: Any) -> None:
    agent = start(bench, 2)
    (bench.root / "fail-1").touch()
    assert agent.wait(30) == 1
    finished = bench.event("finished")
    assert (finished.data["outcome"], finished.data["failure_class"]) == ("failed", "data")
    assert "failed at step" in finished.data["message"]
    assert bench.survivors() == []


def test_a_worker_whose_program_ends_without_a_word_is_a_failure_of_the_program(bench: Any) -> None:
    agent = start(bench, 2)
    (bench.root / "quit-0").touch()
    assert agent.wait(30) == 1
    finished = bench.event("finished")
    assert (finished.data["outcome"], finished.data["failure_class"]) == ("failed", "application")


def test_a_worker_that_dies_again_and_again_ends_the_run(bench: Any) -> None:
    bench.prepare(["/bin/sh", "-c", "kill -9 $$"], elastic=True, workers=1, replacements=2)
    bench.start(Grant(workers=1).to_text()).wait(30)
    finished = bench.event("finished")
    assert (finished.data["outcome"], finished.data["failure_class"]) == ("failed", "infrastructure")
    assert len(list(bench.run.logs.glob("rank-*.log"))) == 3


def test_a_program_that_is_not_there_fails_for_good(bench: Any) -> None:
    finished = bench.execute(["no-such-program-anywhere"], elastic=True, workers=2)
    assert (finished.data["outcome"], finished.data["failure_class"]) == ("failed", "permanent")


def test_a_stop_lets_every_worker_save_and_ends_the_run(bench: Any) -> None:
    agent = start(bench, 2)
    bench.control("stop", "preempt", grace=20)
    assert agent.wait(10) == 0
    finished = bench.event("finished")
    assert (finished.data["outcome"], finished.data["cause"]) == ("stopped", "preempt")
    assert finished.data["message"].startswith("stopped at step")


@pytest.mark.parametrize(("number", "cause"), [(signal.SIGTERM, "drain"), (signal.SIGUSR1, "preempt")])
def test_a_signal_to_the_only_allocation_stops_the_run(bench: Any, number: signal.Signals, cause: str) -> None:
    agent = start(bench, 2)
    agent.send_signal(number)
    assert agent.wait(20) == 0
    finished = bench.event("finished")
    assert (finished.data["outcome"], finished.data["cause"]) == ("stopped", cause)
    assert [event.data["outcome"] for event in bench.events("rank_finished")] == ["stopped", "stopped"]


def test_a_time_limit_stops_the_run_with_time_to_save(bench: Any) -> None:
    bench.prepare(ARGV, elastic=True, workers=1)
    agent = bench.start(Grant(time_limit=2.0).to_text())
    assert agent.wait(20) == 0
    finished = bench.event("finished")
    assert (finished.data["cause"], finished.data["failure_class"]) == ("time_limit", "time_limit")


def test_a_run_that_is_fenced_while_it_runs_is_ended(bench: Any) -> None:
    agent = start(bench, 2)
    raise_fence(bench.run.job, 4)
    assert agent.wait(20) == 1
    finished = bench.event("finished")
    assert finished.data["failure_class"] == "infrastructure"
    assert "older" in finished.data["message"]


def test_a_stop_before_the_first_view_ends_the_run(bench: Any) -> None:
    bench.prepare(["/bin/sleep", "600"], elastic=True, workers=2)
    agent = bench.start()
    bench.until(lambda: len(bench.survivors()) == 2)
    bench.control("stop", grace=1)
    assert agent.wait(20) == 0
    assert bench.event("finished").data["outcome"] == "stopped"


def test_workers_that_ignore_a_stop_are_killed_after_the_grace_time(bench: Any) -> None:
    agent = start(bench, 2)
    os.kill(bench.pid_of(0), signal.SIGSTOP)
    bench.control("stop", grace=0.5)
    agent.wait(20)
    assert bench.event("finished").data["outcome"] == "stopped"
    assert bench.survivors() == []


def test_killing_the_only_agent_kills_its_workers(bench: Any) -> None:
    start(bench, 2)
    bench.agent_identity().send(signal.SIGKILL)
    assert bench.agents[0].wait(30) == 128 + signal.SIGKILL
    assert bench.survivors() == []
    assert "finished" not in bench.kinds()


def test_killing_the_guard_ends_the_run_as_an_infrastructure_failure(bench: Any) -> None:
    start(bench, 2)
    bench.agents[0].kill()
    bench.until(lambda: "finished" in bench.kinds())
    assert bench.event("finished").data["failure_class"] == "infrastructure"
    assert bench.survivors() == []


def test_an_elastic_worker_sees_no_ranks(bench: Any) -> None:
    program = "import json, os; print(json.dumps(sorted(os.environ)))"
    bench.prepare([sys.executable, "-c", program], elastic=True, workers=1, replacements=0)
    bench.start(environment={"RANK": "3", "MASTER_PORT": "1"}).wait(30)
    assert '"ORCHESTRATOR_WORKER"' in bench.log()
    assert not any(f'"{name}"' in bench.log() for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"))


def test_a_worker_whose_disk_took_no_marker_is_lost_and_replaced(bench: Any) -> None:
    agent = start(bench, 2)
    (bench.root / "unheard-0").touch()
    bench.until(lambda: bench.views()[-1] == [1, 2])
    (lost,) = bench.events("worker_lost")
    assert (lost.data["number"], lost.data["failure_class"]) == (0, "infrastructure")
    assert end(bench, agent).data["outcome"] == "succeeded"


def test_workers_listen_where_the_agent_is_reached(bench: Any) -> None:
    bench.prepare(ARGV, elastic=True, workers=1)
    agent = bench.start(Grant(workers=1, host="127.0.0.2").to_text())
    bench.until(lambda: bench.views() == [[0]])
    end(bench, agent)
    assert "listens on 127.0.0.2" in bench.log()
