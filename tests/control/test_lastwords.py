"""What a run wrote last on another machine may be seen here some time after its engine says that it is over."""

from pathlib import Path

import pytest
from queueing_kit import FOLLOWS, passes, queueing

from orchestrator.testing.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return queueing(tmp_path)


def over(world: World, failure: str | None, *, by_itself: bool = True) -> str:
    """A job whose run is over at the engine, and has said nothing of its end."""
    job = world.submit("start", *["wait"] * 9)
    passes(world, 3)
    ends(world, f"{job}-r1.0", failure, by_itself=by_itself)
    return job


def ends(world: World, allocation: str, failure: str | None, *, by_itself: bool) -> None:
    world.backend.set_state(allocation, "ended", failure)
    if by_itself:
        world.backend.by_itself.add(allocation)


def speaks(world: World, allocation: str) -> None:
    """Its last word, written before it ended, is there."""
    world.backend.set_state(allocation, "running")
    world.backend.script(allocation, "succeed")
    world.backend.tick()


def test_a_run_whose_last_word_comes_late_has_succeeded(world: World) -> None:
    job = over(world, "infrastructure")
    world.step(40)
    assert world.state(job) == "running"
    speaks(world, f"{job}-r1.0")
    world.step()
    assert world.state(job) == "succeeded"
    assert world.job(job).failures == {}


def test_a_run_that_never_says_how_it_ended_is_a_failure_after_a_while(world: World) -> None:
    job = over(world, None)
    world.step(50)
    assert world.state(job) == "running"
    world.step(15)
    assert world.job(job).failures == {"infrastructure": 1}


def test_a_server_that_slept_meanwhile_concludes_nothing_from_that(world: World) -> None:
    job = over(world, "infrastructure")
    world.step()
    world.clock.advance(3600)
    world.step(10)
    assert world.state(job) == "running"


@pytest.mark.parametrize(("failure", "by_itself"), [("infrastructure", False), ("preempted", True)])
def test_where_the_engine_knows_what_ended_it_nothing_is_waited_for(
    world: World, failure: str, by_itself: bool
) -> None:
    job = over(world, failure, by_itself=by_itself)
    world.step()
    assert world.job(job).failures == {failure: 1}


def test_a_run_that_somebody_wished_to_end_is_over_at_once(world: World) -> None:
    job = over(world, "infrastructure")
    world.step()
    world.service.cancel(job)
    world.step(2)
    assert world.state(job) == "cancelled"


def test_the_last_word_of_what_joined_a_run_is_waited_for_too(world: World) -> None:
    train = {"epochs": 2, "batch_size": 96, "samples_per_virtual_worker": 16}
    job = world.train(*FOLLOWS, workers="2..4", train=train)
    passes(world, 8)
    ends(world, f"{job}-r1.0", "infrastructure", by_itself=False)
    world.backend.script(f"{job}-r1.100", "always:follow")
    world.step(3)
    for number in (100, 101):
        ends(world, f"{job}-r1.{number}", "infrastructure", by_itself=True)
    world.step(40)
    assert world.state(job) == "running"
