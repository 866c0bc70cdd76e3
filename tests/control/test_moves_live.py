"""Moves in a live cluster: a run goes where it can be wider, and both places are its own until it is there."""

from dataclasses import replace
from pathlib import Path

import pytest
from live_policy_kit import command, spare, until, widths, world_of

from orchestrator.rundir.events import EventWriter
from orchestrator.store import runs
from orchestrator.testing.world import World

pytestmark = pytest.mark.usefixtures("held_decisions")


def squeezed(folder: Path, *script: str) -> tuple[World, str]:
    """A training on half of node a, which moves to node b: all of that has become idle."""
    world = world_of(folder, {"a": 4, "b": 4})
    command(world, 2, 150)
    world.step(2)
    short = command(world, 4, 8)
    world.step(2)
    job = world.train("start", *["wait"] * 15, *script, workers="2..4")
    world.step(4)
    assert widths(world, job) == (2, 2)
    until(world, short, "succeeded")
    until(world, job, "resizing")
    return world, job


def held(world: World) -> dict[str, int]:
    with world.store.read() as connection:
        return runs.held(connection, list(world.backend.nodes))


def placed(world: World, job: str) -> tuple[tuple[str, int], ...]:
    """Slots that the engine gives it."""
    return world.backend.allocations()[f"{job}-r1.0"].placement


def test_a_run_that_moves_holds_both_places_until_it_is_there(tmp_path: Path) -> None:
    world, job = squeezed(tmp_path, "resize", *["wait"] * 60, "succeed")
    assert "4 workers: 2 more idle on b, moving there" in str(world.job(job).reason)
    assert held(world) == {"a": 4, "b": 4}
    spare(world)
    waiting = command(world, 2, 3)
    until(world, job, "running")
    until(world, waiting, "running")
    assert world.state(job) == "running"
    assert placed(world, job) == (("b", 4),)
    assert placed(world, waiting) == (("a", 2),)
    assert held(world) == {"a": 4, "b": 4}
    spare(world)


def test_a_move_that_does_not_come_about_leaves_the_run_where_it_was(tmp_path: Path) -> None:
    world, job = squeezed(tmp_path, *["wait"] * 100)
    world.step(3, seconds=170)
    assert "wanted on 2 workers again" in str(world.job(job).reason)
    assert held(world) == {"a": 4}


@pytest.mark.parametrize(
    ("change", "how"), [({"up": False}, "down"), ({"drained": True}, "drained"), (None, "drained")]
)
def test_a_move_to_a_node_that_takes_nothing_more_is_called_off_at_once(
    tmp_path: Path, change: dict[str, bool] | None, how: str
) -> None:
    world, job = squeezed(tmp_path, *["wait"] * 100)
    if change is not None:
        world.backend.nodes["b"] = replace(world.backend.nodes["b"], **change)
    else:
        world.service.drain("b", "", "ann")
    world.controller.step()
    assert world.job(job).reason == f"wanted on 2 workers again: node b is {how}, it has 2"
    assert held(world) == {"a": 4}
    world.step(5)
    assert world.moves(job).count("resizing") == 1


def test_a_run_that_is_too_slow_for_a_resize_is_asked_later_and_later(tmp_path: Path) -> None:
    world, job = squeezed(tmp_path, *["wait"] * 150)
    world.step(20, seconds=101)
    told = [(event.data["to"], event.time) for event in world.service.events(job) if event.kind == "state"]
    begun = [time for state, time in told if state == "resizing"]
    over = [time for state, time in told if state == "running"][1:]
    assert 300 <= begun[1] - over[0] <= 402
    assert 600 <= begun[2] - over[1] <= 702


def test_a_run_that_moves_after_its_move_was_called_off_goes_back(tmp_path: Path) -> None:
    world, job = squeezed(tmp_path, *["follow"] * 100)
    world.controller.step()
    world.clock.advance(301)
    world.controller.step()
    assert world.state(job) == "running"
    for _ in range(16):
        world.backend.tick()  # it has not read yet that the move was called off
    assert placed(world, job) == (("b", 4),)
    world.controller.step()
    assert held(world) == {"a": 4}
    world.step(2)
    assert placed(world, job) == (("a", 2),)
    assert widths(world, job) == (2, 2)
    assert held(world) == {"a": 4}


def test_a_run_that_is_elsewhere_has_not_arrived(tmp_path: Path) -> None:
    """Its word is on an older move to as many workers."""
    world, job = squeezed(tmp_path, *["wait"] * 100)
    writer = EventWriter(world.run_directory(job), "agent-0", 1)
    writer.append("resized", world_size=4, epoch=2, cause="resize", nodes={"c": 4})
    world.step()
    assert world.state(job) == "resizing"
    writer.append("resized", world_size=4, epoch=3, cause="resize", nodes={"b": 4})
    world.step()
    assert world.state(job) == "running"
    assert held(world) == {"a": 2, "b": 4}


@pytest.mark.parametrize(("change", "how"), [({"up": False}, "lost"), ({"drained": True}, "lost or drained")])
def test_a_run_goes_on_without_a_node_that_is_gone_or_about_to_go_and_the_policy_decides_anew(
    tmp_path: Path, change: dict[str, bool], how: str
) -> None:
    world = world_of(tmp_path, {"a": 2, "b": 2, "c": 2})
    command(world, 2, 8)
    world.step(2)
    job = world.train("start", *["wait"] * 100, workers="2..4")
    world.step(4)
    assert widths(world, job) == (4, 4)
    kept = dict(placed(world, job))
    gone, stays = sorted(kept)[1], sorted(kept)[0]
    world.backend.nodes[gone] = replace(world.backend.nodes[gone], **change)
    EventWriter(world.run_directory(job), "agent-0", 1).append(
        "resized", world_size=2, epoch=2, cause="lost", nodes={stays: 2}
    )
    world.step()
    assert held(world)[stays] == 2
    assert held(world).get(gone, 0) == 0
    assert world.job(job).reason == f"runs on 2 workers ({job}-r1): 1 node {how}: {gone}"
    until(world, job, "resizing")
    assert "growing" in str(world.job(job).reason) or "idle" in str(world.job(job).reason)


def test_a_driver_tells_which_nodes_of_its_run_are_drained(tmp_path: Path) -> None:
    world = world_of(tmp_path, {"a": 2})
    job = command(world, 2, 20)
    world.step(3)
    writer = EventWriter(world.run_directory(job), "ray-0", 1)
    writer.append("draining", until={"a": 0.0, "b": 60})
    writer.append("draining", until={"a": "soon"})
    world.step(2)
    told = [event.message for event in world.service.events(job, limit=100) if event.kind == "draining"]
    first = "its nodes are drained: a, b until 1970-01-01 00:01:00 UTC"
    assert told == [first, "its nodes are drained: ?"]
