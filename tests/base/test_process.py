import os
import signal
import subprocess
import sys

from orchestrator.base.process import ProcessIdentity, processes_with_environment


def _sleeper(**env: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={**os.environ, **env})


def test_a_process_is_known_by_pid_and_start_time() -> None:
    child = _sleeper()
    identity = ProcessIdentity.of(child.pid)
    assert identity is not None
    assert identity.alive()
    assert ProcessIdentity.from_json(identity.to_json()) == identity
    assert not ProcessIdentity(child.pid, identity.start_ticks + 1).alive()
    child.kill()
    child.wait()
    assert not identity.alive()


def test_a_zombie_is_not_alive() -> None:
    child = _sleeper()
    identity = ProcessIdentity.of(child.pid)
    assert identity is not None
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not identity.alive()
    child.wait()


def test_another_process_with_the_same_pid_is_never_signalled() -> None:
    child = _sleeper()
    identity = ProcessIdentity.of(child.pid)
    assert identity is not None
    assert not ProcessIdentity(child.pid, identity.start_ticks + 1).send(signal.SIGKILL)
    assert child.poll() is None
    assert identity.send(signal.SIGKILL)
    child.wait()


def test_processes_are_found_by_a_mark_in_their_environment() -> None:
    child = _sleeper(TEST_MARK_OF_A_RUN="r-1")
    try:
        # the environment is the new program's only once exec has happened
        while not (found := processes_with_environment("TEST_MARK_OF_A_RUN", "r-1")):
            assert child.poll() is None
        assert [p.pid for p in found] == [child.pid]
        assert processes_with_environment("TEST_MARK_OF_A_RUN", "r-2") == []
    finally:
        child.kill()
        child.wait()
