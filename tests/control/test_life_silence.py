"""Runs that are lost, engines that do not answer, clocks that jump: what is concluded, and what is not."""

import pytest

from orchestrator.testing.world import World


def test_a_lost_run_is_recovered_after_the_stated_time(world: World) -> None:
    job = world.submit("start", "first:vanish", "succeed", retry={"backoff": 1})
    world.step(50)  # 25 seconds
    assert world.state(job) == "running"
    world.finish()
    assert world.moves(job)[3:5] == ["recovering", "queued"]
    assert [run.state for run in world.job(job).runs] == ["lost", "succeeded"]


def test_a_run_that_comes_back_in_time_is_not_lost(world: World) -> None:
    job = world.submit("start", "wait", "wait", *["wait"] * 200, "succeed")
    world.step(3)
    for _ in range(3):
        world.backend.set_state(f"{job}-r1.0", "absent")
        world.step(50)
        world.backend.set_state(f"{job}-r1.0", "running")
        world.step()
    assert world.state(job) == "running"
    world.finish()
    assert world.moves(job) == ["queued", "starting", "running", "succeeded"]


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_a_clock_jump_loses_and_fails_nothing(world: World, seconds: float) -> None:
    running = world.submit("start", *["wait"] * 30, "succeed", time_limit="10m")
    absent = world.submit("start", *["wait"] * 30, "succeed")
    world.step(3)
    world.backend.set_state(f"{absent}-r1.0", "absent")
    world.step(5)
    world.clock.jump(seconds)
    world.step(5)
    assert [world.state(job) for job in (running, absent)] == ["running", "running"]
    world.backend.set_state(f"{absent}-r1.0", "running")
    world.finish()
    assert [world.moves(job)[-1] for job in (running, absent)] == ["succeeded", "succeeded"]


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_a_clock_jump_does_not_change_a_back_off(world: World, seconds: float) -> None:
    job = world.submit("start", "first:fail", "succeed", retry={"backoff": 20})
    world.step(5)
    world.clock.jump(seconds)
    world.step(20)
    assert world.state(job) == "queued"
    world.step(20)
    assert len(world.job(job).runs) == 2


def test_a_controller_that_slept_for_an_hour_finds_nothing_lost(world: World) -> None:
    job = world.submit("start", *["wait"] * 30, "succeed")
    world.step(3)
    world.backend.set_state(f"{job}-r1.0", "absent")
    world.step()
    world.clock.advance(3600)
    world.step()
    assert world.state(job) == "running"


def test_an_engine_that_does_not_answer_makes_things_unknown_and_nothing_else(world: World) -> None:
    running = world.submit("start", *["wait"] * 400, "succeed", resources={"workers": 2})
    waiting = world.submit("start", "succeed")
    world.step(3)
    before = {job: (world.moves(job), world.job(job).reason) for job in (running, waiting)}
    world.backend.available = False
    world.step(200)  # 100 seconds: more than lost_after
    for job in (running, waiting):
        assert world.job(job).reason.startswith("unknown since 2001-09-09 01:46:4")
        assert world.moves(job) == before[job][0]
    world.backend.available = True
    world.step(2)
    assert {job: (world.moves(job), world.job(job).reason) for job in (running, waiting)} == before


def test_a_server_that_starts_after_an_outage_takes_its_reasons_back(world: World) -> None:
    job = world.submit("start", *["wait"] * 50, "succeed")
    world.step(3)
    world.backend.available = False
    world.step()
    world.restart()
    world.backend.available = True
    world.step()
    assert world.job(job).reason == f"runs on 1 worker ({job}-r1)"


def test_a_launch_whose_answer_is_lost_is_found_again_and_not_launched_twice(world: World) -> None:
    world.backend.answers_to_lose = 1
    job = world.submit("start", "wait", "succeed")
    world.finish()
    assert world.state(job) == "succeeded"
    (allocation,) = world.backend.allocations().values()
    assert (allocation.launches, allocation.starts) == (1, 1)


def test_a_launch_that_is_not_answered_is_that_jobs_trouble_only(world: World) -> None:
    running = world.submit("start", *["wait"] * 20, "succeed")
    world.step(3)
    world.backend.answers_to_lose = 1
    job = world.submit("start", "wait", "succeed")
    world.controller.step()
    assert world.job(job).reason == f"the engine has not accepted {job}-r1 yet: the answer was lost"
    assert world.job(running).reason == f"runs on 1 worker ({running}-r1)"
    world.controller.step()
    assert world.job(job).reason == f"{job}-r1 is being started on 1 worker"
