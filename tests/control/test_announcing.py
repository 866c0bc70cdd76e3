"""What an engine that can bring machines is told: what would run if they were there."""

from pathlib import Path

from live_policy_kit import command, world_of

from orchestrator.backends.protocol import NodeFacts, Room
from orchestrator.base.errors import BackendUnavailable
from orchestrator.testing.world import World


def growing(folder: Path, **profile: object) -> World:
    world = world_of(folder, {"a": 2}, **profile)
    world.backend.potential = (NodeFacts("big-1", 4, 4), NodeFacts("big-2", 4, 4))
    world.backend.grows = True
    return world


def test_what_waits_is_announced_beside_what_runs(tmp_path: Path) -> None:
    world = growing(tmp_path)
    command(world, 2, 100)
    world.step(2)
    job = command(world, 4, 100)
    world.step(30)
    assert sorted(world.backend.announced, key=lambda room: room.workers) == [Room(2, 1, 0), Room(4, 1, 0)]
    world.backend.nodes["big-1"] = world.backend.potential[0]
    world.backend.potential = world.backend.potential[1:]
    world.step(4)
    assert world.state(job) in {"starting", "running"}


def test_more_than_can_ever_come_is_not_announced(tmp_path: Path) -> None:
    world = growing(tmp_path)
    for _ in range(4):
        command(world, 4, 100)
    world.step(2)
    assert sum(room.workers for room in world.backend.announced) == 8


def test_a_team_at_its_limit_brings_no_machines(tmp_path: Path) -> None:
    world = growing(tmp_path, teams=[{"name": "default", "limit": 2}])
    command(world, 2, 100)
    world.step(2)
    command(world, 2, 100)
    world.step(30)
    assert world.backend.announced == (Room(2, 1, 0),)


def test_when_nothing_waits_or_runs_nothing_is_kept(tmp_path: Path) -> None:
    world = growing(tmp_path)
    job = command(world, 4, 100)
    world.step(2)
    assert world.backend.announced == (Room(4, 1, 0),)
    world.service.cancel(job, "ann")
    world.step(30)
    assert world.backend.announced == ()


def test_what_another_server_has_announced_is_taken_back_though_all_of_it_has_come(tmp_path: Path) -> None:
    world = growing(tmp_path)
    world.backend.potential = ()
    world.backend.announced = (Room(4, 1, 0),)
    world.step(2)
    assert world.backend.announced == ()


def test_an_engine_that_brings_nothing_is_told_nothing(tmp_path: Path) -> None:
    world = world_of(tmp_path, {"a": 2})
    command(world, 2, 100)
    world.step(2)
    assert "announce" not in world.backend.calls


def test_an_engine_that_was_silent_is_told_again(tmp_path: Path) -> None:
    world = growing(tmp_path)
    told, world.backend.announce = world.backend.announce, _silent  # type: ignore[method-assign]
    command(world, 4, 100)
    world.step(2)
    world.backend.announce = told  # type: ignore[method-assign]
    world.step(30)
    assert world.backend.announced == (Room(4, 1, 0),)


def _silent(wanted: object) -> None:
    raise BackendUnavailable("the head is away")


def test_a_job_that_waits_for_a_machine_says_so(tmp_path: Path) -> None:
    world = growing(tmp_path)
    job = command(world, 8, 100)
    world.step(2)
    brings = "an autoscaler brings it when something waits for it"
    assert world.why(job) == (
        f"needs 8 cpu slots on nodes of 4; 2 can be used now: big-1 is absent ({brings}) and big-2 is absent ({brings})"
    )
