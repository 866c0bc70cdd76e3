"""A world whose engine has a queue of its own, and what its tests ask of it."""

from pathlib import Path
from typing import Any

from orchestrator.rundir.control import Control, read_control
from orchestrator.store import allocations, runs, tables
from orchestrator.store.records import GrowthRecord, RunRecord
from orchestrator.testing.world import World

NODES = {"a": 2, "b": 2, "c": 2}
FOLLOWS = ("start", "always:follow")


def queueing(
    root: Path, *, growth: dict[str, Any] | None = None, slurm: dict[str, Any] | None = None, **more: Any
) -> World:
    """Three nodes of two slots; runs grow on partition spare, however little of them is left."""
    section = {"growth": {"partition": "spare", "least": 0, **(growth or {})}, **(slurm or {})}
    return World(root, slots=NODES, queues=True, profile={"slurm": section}, **more)


def passes(world: World, times: int = 1, *, seconds: float = 0.5) -> None:
    """So often: a pass of the controller, and the engine starts all that fits."""
    for _ in range(times):
        world.controller.step()
        world.backend.begin_all()
        world.backend.tick()
        world.clock.advance(seconds)


def run_of(world: World, job: str) -> RunRecord:
    """Its newest run."""
    with world.store.read() as connection:
        found = runs.newest_of(connection, job)
    assert found is not None
    return found


def growth_of(world: World, job: str) -> list[GrowthRecord]:
    """All that its newest run ever grew by."""
    run = run_of(world, job).id
    with world.store.read() as connection:
        return allocations.of_runs(connection, [run])[run]


def wish(world: World, job: str) -> Control:
    """What its newest run is told."""
    found = read_control(world.run_directory(job, run_of(world, job).number))
    assert found is not None
    return found


def said(world: World, job: str, kind: str) -> list[str]:
    """Its history, as far as it is of this kind."""
    return [event.message for event in world.service.events(job, limit=10_000) if event.kind == kind]


def damage_run(world: World, job: str, **columns: str) -> None:
    """The row of its first run has these values from now on."""
    with world.store.write() as connection:
        connection.execute(tables.runs.update().where(tables.runs.c.id == f"{job}-r1").values(columns))


def damage(world: World, job: str, environment: str = "{") -> None:
    """Its row cannot be read any more; or, with another environment, again."""
    with world.store.write() as connection:
        connection.execute(tables.jobs.update().where(tables.jobs.c.id == job).values(environment=environment))
