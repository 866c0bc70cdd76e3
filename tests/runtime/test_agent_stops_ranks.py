"""An agent ends its ranks when it is told to: first politely, then by force."""

import json
import signal
import sys
from typing import Any

import pytest

TRAP = """
import signal, sys, time
def leave(number, frame):
    print("saving")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print("ready")
time.sleep(600)
"""
DEAF = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready')\ntime.sleep(600)"


def started(bench: Any, argv: list[str], **changes: object) -> Any:
    bench.prepare(argv, **changes)
    agent = bench.start()
    bench.until(lambda: "ready" in bench.log())
    return agent


@pytest.mark.parametrize("cause", ["cancel", "preempt"])
def test_a_stop_by_the_controller_lets_the_program_save_its_work(bench: Any, cause: str) -> None:
    agent = started(bench, [sys.executable, "-c", TRAP])
    bench.control("stop", cause)
    assert agent.wait(30) == 0
    finished = bench.event("finished")
    assert (finished.data["outcome"], finished.data["cause"]) == ("stopped", cause)
    assert bench.log() == "ready\nsaving\n"


def test_a_program_that_ignores_the_signal_is_killed_after_the_grace_time(bench: Any) -> None:
    agent = started(bench, [sys.executable, "-c", DEAF])
    bench.control("stop", grace=0.3)
    agent.wait(30)
    assert bench.event("finished").data["outcome"] == "stopped"
    assert bench.survivors() == []


def test_a_child_of_a_shell_gets_the_signal_and_the_time_to_save(bench: Any) -> None:
    saving = TRAP.replace('print("saving")', 'time.sleep(0.5); print("saving")')
    agent = started(bench, ["/bin/sh", "-c", f"{sys.executable} -c '{saving}'; echo unreachable"])
    bench.control("stop")
    agent.wait(30)
    assert bench.log() == "ready\nsaving\n"


def test_a_wish_with_the_token_of_another_run_is_ignored(bench: Any) -> None:
    bench.prepare(["/bin/sh", "-c", "sleep 0.5"])
    bench.control("stop", token=99)
    bench.start().wait(30)
    assert bench.event("finished").data["outcome"] == "succeeded"


def test_a_run_that_is_stopped_before_it_starts_starts_nothing(bench: Any) -> None:
    bench.prepare(["/bin/sh", "-c", "echo ran"])
    bench.control("stop")
    bench.start().wait(30)
    assert bench.event("finished").data["outcome"] == "stopped"
    assert not bench.log()


def test_a_signal_to_the_guard_is_a_stop_too(bench: Any) -> None:
    agent = started(bench, [sys.executable, "-c", TRAP])
    agent.send_signal(signal.SIGTERM)
    agent.wait(30)
    assert bench.event("finished").data["cause"] == "drain"
    assert "saving" in bench.log()


def test_a_run_that_exceeds_its_time_limit_is_stopped_for_that(bench: Any) -> None:
    bench.prepare([sys.executable, "-c", TRAP])
    bench.start(json.dumps({"time_limit": 1.0})).wait(30)
    finished = bench.event("finished")
    assert (finished.data["cause"], finished.data["failure_class"]) == ("time_limit", "time_limit")


def test_a_damaged_control_file_ends_no_run(bench: Any) -> None:
    agent = started(bench, ["/bin/sh", "-c", "echo ready; sleep 0.6"])
    bench.run.control.write_text('{"unknown": 1}')
    agent.wait(30)
    assert bench.event("finished").data["outcome"] == "succeeded"
