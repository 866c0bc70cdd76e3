"""Agents that are known to be dead do not count as another part of a partition."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.rundir.membership import newest_view


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = JobDirectory.under(tmp_path, "job-a").run("job-a-r1")
    run.create()
    return run


@pytest.fixture
def agents(run: RunDirectory) -> Iterator[list[subprocess.Popen[bytes]]]:
    script = Path(__file__).with_name("agent_script.py")
    started = [subprocess.Popen([sys.executable, str(script), str(run.path), str(agent)]) for agent in (0, 1)]
    yield started
    for agent in started:
        agent.kill()
        agent.wait()


@pytest.mark.parametrize("victim", [0, 1])
def test_one_of_two_agents_goes_on_when_the_other_is_dead(
    run: RunDirectory, agents: list[subprocess.Popen[bytes]], victim: int
) -> None:
    wait_for(lambda: numbers(run) == (0, 1000))
    agents[victim].kill()
    agents[victim].wait()
    killed = time.monotonic()
    wait_for(lambda: numbers(run) == ((1000,) if victim == 0 else (0,)))
    assert time.monotonic() - killed < 5.0


def numbers(run: RunDirectory) -> tuple[int, ...]:
    view = newest_view(run)
    return () if view is None else view.numbers


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30.0
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
