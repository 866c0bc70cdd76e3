"""Whoever is killed, nothing that belongs to the run outlives it."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from orchestrator.base.process import ProcessIdentity

FAMILY = """
import os, subprocess, sys, time
subprocess.Popen(["sleep", "601"])
subprocess.Popen(["sleep", "602"], start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        subprocess.Popen(["sleep", "603"], env={}, start_new_session=True)
        time.sleep(600)
    os._exit(0)
time.sleep(0.1)
print("ready")
while not os.path.exists("go"):
    time.sleep(0.01)
%s
"""


def family(bench: Any, then: str = "time.sleep(600)") -> list[ProcessIdentity]:
    """Start a rank with children, grandchildren in sessions of their own, and one without the mark."""
    bench.prepare([sys.executable, "-c", FAMILY % then])
    bench.start()
    bench.until(lambda: "ready" in bench.log())
    bench.until(lambda: unmarked(bench) is not None)
    found = unmarked(bench)
    assert found is not None
    members = [*bench.survivors(), found]
    (bench.root / "go").touch()
    return members


def unmarked(bench: Any) -> ProcessIdentity | None:
    """The sleeping process that has no environment at all, found by its working directory."""
    for name in os.listdir("/proc"):
        try:
            command = Path(f"/proc/{name}/cmdline").read_bytes()
            if command == b"sleep\x00603\x00" and os.readlink(f"/proc/{name}/cwd") == str(bench.root):
                return ProcessIdentity.of(int(name))
        except OSError:
            continue
    return None


def gone(members: list[ProcessIdentity]) -> bool:
    return not any(member.alive() for member in members)


def test_daemons_that_a_command_leaves_are_swept_before_the_run_is_finished(bench: Any) -> None:
    members = family(bench, then="sys.exit(0)")
    bench.until(lambda: "finished" in bench.kinds())
    assert bench.event("finished").data["outcome"] == "succeeded"
    assert gone(members)


def test_killing_the_agent_kills_everything_below_it(bench: Any) -> None:
    members = family(bench)
    bench.agent_identity().send(signal.SIGKILL)
    assert bench.agents[0].wait(30) == 128 + signal.SIGKILL
    assert gone(members)
    assert "finished" not in bench.kinds()


def test_killing_the_guard_ends_the_run_as_an_infrastructure_failure(bench: Any) -> None:
    members = family(bench)
    bench.agents[0].kill()
    bench.until(lambda: "finished" in bench.kinds())
    assert bench.event("finished").data["failure_class"] == "infrastructure"
    assert gone(members)


def test_killing_agent_and_guard_at_once_leaves_no_rank(bench: Any) -> None:
    bench.prepare(["/bin/sleep", "600"], workers=2)
    bench.start()
    agent = bench.agent_identity()
    bench.until(lambda: len(bench.survivors()) == 2)
    os.kill(bench.agents[0].pid, signal.SIGSTOP)
    agent.send(signal.SIGSTOP)
    agent.send(signal.SIGKILL)
    bench.agents[0].kill()
    bench.until(lambda: bench.survivors() == [])


def test_a_rank_that_is_killed_is_an_infrastructure_failure(bench: Any) -> None:
    members = family(bench, then="os.kill(os.getpid(), 9)")
    bench.until(lambda: "finished" in bench.kinds())
    finished = bench.event("finished")
    assert finished.data["failure_class"] == "infrastructure"
    assert "SIGKILL" in finished.data["message"]
    assert gone(members)


def test_ranks_are_in_process_groups_of_their_own(bench: Any) -> None:
    bench.execute([sys.executable, "-c", "import os; print(os.getpid() == os.getpgid(0))"], workers=2)
    assert [bench.log(0), bench.log(1)] == ["True\n", "True\n"]
