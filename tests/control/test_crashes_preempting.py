"""SIGKILL of the server before and after every commit and every engine call of a preemption, and of a shrink."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.base.clock import RandomIds
from orchestrator.store import jobs
from orchestrator.testing.world import World

POLICY = {
    "preset": "priority",
    "round": 0.1,
    "preemption": {"min_run": 0},
    "elastic": {"between": 0, "grow": "never"},
}


class Probes:
    """Counts the points where a server can be killed, and kills it at one of them."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.names: list[str] = []
        self._kill_at = kill_at

    def __call__(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def opened(root: Path, probes: Probes) -> World:
    return World(root, slots=4, probe=probes, ids=RandomIds(), profile={"policy": POLICY})


def until_it_runs(world: World, job: str) -> None:
    for _ in range(6):
        if world.state(job) not in {"queued", "starting"}:
            return
        world.step()


def preempting(root: Path, probes: Probes) -> World:
    """One life of the server: a job with a higher priority is submitted (again) while another one runs."""
    world = opened(root, probes)
    low = world.submit("start", *["wait"] * 12, "succeed", key="low", name="low", resources={"workers": 4})
    until_it_runs(world, low)
    high = {"priority": 50, "resources": {"workers": 4}}
    world.submit("start", "wait", "succeed", key="high", name="high", **high)
    world.finish()
    world.step(2)
    return world


def shrinking(root: Path, probes: Probes) -> World:
    """The same with a job that gives half of its workers up."""
    world = opened(root, probes)
    low = world.train("start", *["follow"] * 14, "succeed", workers="1..4", key="low", name="low")
    until_it_runs(world, low)
    world.submit("start", "wait", "succeed", key="high", name="high", resources={"workers": 2})
    world.finish()
    world.step(2)
    return world


def killed(life: Callable[[Path, Probes], World], root: Path, kill_at: int) -> None:
    child = os.fork()
    if child == 0:
        try:
            life(root, Probes(kill_at))
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0


def check(world: World, runs_of_low: list[str]) -> None:
    """Both jobs have succeeded, each allocation was started once, nothing is claimed or held any more."""
    found = {job.name: job for job in world.service.list()}
    assert {name: job.state for name, job in found.items()} == {"low": "succeeded", "high": "succeeded"}
    assert [run.state for run in found["low"].runs] == runs_of_low
    assert [run.state for run in found["high"].runs] == ["succeeded"]
    assert found["low"].failures == found["high"].failures == {}
    assert found["low"].preemptions == len(runs_of_low) - 1
    assert world.moves(found["low"].id).count("resizing") == 2 - len(runs_of_low)
    allocations = world.backend.allocations()
    assert len(allocations) == len(runs_of_low) + 1
    assert {allocation.starts for allocation in allocations.values()} == {1}
    assert world.backend.capacity().free == 4
    with world.store.read() as connection:
        assert {jobs.get(connection, job.id).claim for job in found.values()} == {None}
    world.store.close()


@pytest.mark.parametrize(("life", "runs_of_low"), [(preempting, ["stopped", "succeeded"]), (shrinking, ["succeeded"])])
def test_a_server_killed_while_it_makes_room_makes_it_once(
    tmp_path: Path, life: Callable[[Path, Probes], World], runs_of_low: list[str]
) -> None:
    template = tmp_path / "template"
    opened(template, Probes()).store.close()
    probes = Probes()
    check(life(Path(shutil.copytree(template, tmp_path / "whole")), probes), runs_of_low)
    assert {"before commit make room", "after commit make room"} <= set(probes.names)
    everything = range(1, len(probes.names) + 1)
    room = probes.names.index("before commit make room") + 1
    points = everything if os.environ.get("ORCHESTRATOR_TEST_FULL") else [*range(room, room + 10), *everything[::15]]
    for point in points:
        root = Path(shutil.copytree(template, tmp_path / str(point), dirs_exist_ok=True))
        killed(life, root, point)
        check(life(root, Probes()), runs_of_low)
        shutil.rmtree(root)
