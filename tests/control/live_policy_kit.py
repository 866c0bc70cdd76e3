"""Worlds under a policy that preempts and resizes, the jobs in them, and a check of every decision."""

from pathlib import Path
from typing import Any

from orchestrator.store import runs
from orchestrator.testing.world import World

POLICY: dict[str, Any] = {
    "preset": "priority",
    "round": 1,
    "preemption": {"min_run": 5},
    "elastic": {"between": 1, "price": 0.1},
}


def world_of(folder: Path, slots: Any = 4, **profile: Any) -> World:
    """A world under this policy."""
    return World(folder, slots=slots, profile={"policy": POLICY} | profile)


def command(world: World, workers: int, waits: int = 40, **more: Any) -> str:
    """A job with a fixed width."""
    return world.submit("start", *["wait"] * waits, "succeed", resources={"workers": workers}, **more)


def training(world: World, workers: str, follows: int = 100, **more: Any) -> str:
    """An elastic job, which does what it is told."""
    return world.train("start", *["follow"] * follows, "succeed", workers=workers, **more)


def widths(world: World, job: str) -> tuple[int, int | None]:
    """Workers that a job has, and wanted ones."""
    (run,) = world.job(job).runs
    return run.world_size, run.wanted


def spare(world: World) -> None:
    """No node holds more than it has."""
    with world.store.read() as connection:
        held = runs.held(connection, list(world.backend.nodes))
    for name, node in world.backend.nodes.items():
        assert held.get(name, 0) <= node.slots


def until(world: World, job: str, state: str) -> None:
    """Steps until a job is in a state."""
    for _ in range(100):
        if world.state(job) == state:
            return
        world.step()
    raise AssertionError(world.job(job).reason)
