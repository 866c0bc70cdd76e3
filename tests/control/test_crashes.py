"""SIGKILL of the server before and after every commit and every engine call."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.base.clock import RandomIds
from orchestrator.testing.world import World

JOBS: dict[str, tuple[tuple[str, ...], dict[str, object]]] = {
    "plain": (("start", "progress:3", "trial:0", "succeed"), {}),
    "breaks": (("start", "first:fail:application", "succeed"), {"retry": {"backoff": 1}}),
    "dies": (("start", "first:die", "succeed"), {"retry": {"backoff": 1}}),
    "after": (("start", "succeed"), {"depends_on": ["plain"], "resources": {"workers": 2}}),
}
RUNS = {"plain": 1, "breaks": 2, "dies": 2, "after": 1}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh store, made once."""
    root = tmp_path_factory.mktemp("template")
    World(root).store.close()
    return root


class Probes:
    """Counts the points where a server can be killed, and kills it at one of them."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.names: list[str] = []
        self._kill_at = kill_at

    def __call__(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def live(root: Path, probes: Probes) -> World:
    """One life of the server: people submit (again, with the same keys), then everything takes its course."""
    world = World(root, probe=probes, ids=RandomIds())
    for name, (script, more) in JOBS.items():
        job = world.submit(*script, key=name, name=name, **more)
        with (root / "acknowledged").open("a") as file:
            file.write(f"{name} {job}\n")
    world.finish()
    world.step(2)
    return world


def life_that_is_killed(root: Path, kill_at: int) -> bool:
    """Whether the life was ended by SIGKILL; it is a real process, and dies a real death."""
    child = os.fork()
    if child == 0:
        try:
            live(root, Probes(kill_at))
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def check(world: World) -> None:
    """Each acknowledged job exists once and has succeeded; each allocation was started once, and none too many."""
    jobs = {job.name: job for job in world.service.list()}
    assert {name: job.state for name, job in jobs.items()} == dict.fromkeys(JOBS, "succeeded")
    assert len(world.service.list()) == len(JOBS)
    acknowledged = {tuple(line.split()) for line in (world.root / "acknowledged").read_text().splitlines()}
    assert acknowledged == {(name, job.id) for name, job in jobs.items()}
    assert {name: [run.number for run in job.runs] for name, job in jobs.items()} == {
        name: list(range(1, count + 1)) for name, count in RUNS.items()
    }
    allocations = world.backend.allocations()
    assert set(allocations) == {f"{run.id}.0" for job in jobs.values() for run in job.runs}
    assert {allocation.starts for allocation in allocations.values()} == {1}
    for job in jobs.values():
        history = world.service.events(job.id)
        assert [e.data["to"] for e in history if e.kind == "state"].count("succeeded") == 1
        assert [e.kind for e in history].count("agent_started") == RUNS[job.name]
    assert [trial.index for trial in world.service.results(jobs["plain"].id).trials] == [0]
    world.store.close()


def points_of(names: list[str]) -> list[int]:
    """Every point with ORCHESTRATOR_TEST_FULL; else the first three of each name and every seventh."""
    everything = range(1, len(names) + 1)
    if os.environ.get("ORCHESTRATOR_TEST_FULL"):
        return list(everything)
    return [n for n in everything if n % 7 == 0 or names[:n].count(names[n - 1]) <= 3]


def folders(template: Path, tmp_path: Path) -> Iterator[Path]:
    number = 0
    while True:
        number += 1
        yield Path(shutil.copytree(template, tmp_path / str(number)))


def test_a_server_killed_at_any_point_loses_nothing_and_launches_nothing_twice(template: Path, tmp_path: Path) -> None:
    roots = folders(template, tmp_path)
    probes = Probes()
    check(live(next(roots), probes))
    assert len(probes.names) > 60
    for point in points_of(probes.names):
        root = next(roots)
        life_that_is_killed(root, point)
        check(live(root, Probes()))
        shutil.rmtree(root)


def test_a_server_that_is_killed_again_and_again_gets_there_all_the_same(template: Path, tmp_path: Path) -> None:
    root = next(folders(template, tmp_path))
    deaths = 0
    while life_that_is_killed(root, deaths + 1):
        deaths += 1
    assert deaths > 5
    check(World(root, ids=RandomIds()))
