"""SIGKILL of the server before and after every commit and every engine call."""

import shutil
from pathlib import Path

from crash_kit import Probes, is_killed, survive

from orchestrator.base.clock import RandomIds
from orchestrator.testing.world import World

JOBS: dict[str, tuple[tuple[str, ...], dict[str, object]]] = {
    "plain": (("start", "progress:3", "trial:0", "succeed"), {}),
    "breaks": (("start", "first:fail:application", "succeed"), {"retry": {"backoff": 1}}),
    "dies": (("start", "first:die", "succeed"), {"retry": {"backoff": 1}}),
    "after": (("start", "succeed"), {"depends_on": ["plain"], "resources": {"workers": 2}}),
}
RUNS = {"plain": 1, "breaks": 2, "dies": 2, "after": 1}


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


def test_a_server_killed_at_any_point_loses_nothing_and_launches_nothing_twice(template: Path, tmp_path: Path) -> None:
    assert len(survive(live, check, template, tmp_path)) > 60


def test_a_server_that_is_killed_again_and_again_gets_there_all_the_same(template: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(template, tmp_path / "root"))
    deaths = 0
    while is_killed(live, root, deaths + 1):
        deaths += 1
    assert deaths > 5
    check(World(root, ids=RandomIds()))
