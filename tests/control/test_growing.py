"""Runs grow on an engine with a queue of its own by allocations that join them and may be taken back at any moment."""

from pathlib import Path

import pytest
from queueing_kit import FOLLOWS, growth_of, passes, queueing, run_of, said, wish

from orchestrator.backends.protocol import LaunchRequest
from orchestrator.base.errors import Conflict, UsageError
from orchestrator.lifecycle.states import GrowthState
from orchestrator.rundir.events import EventWriter
from orchestrator.testing.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return queueing(tmp_path)


def grown(world: World, *, workers: str = "2..6") -> str:
    """A training that began on two workers and has four more by now."""
    job = world.train(*FOLLOWS, workers=workers, train=SIX)
    passes(world, 8)
    return job


def growth_waits(world: World) -> str:
    """A training that runs on two workers, and asks for four more."""
    job = world.train(*FOLLOWS, workers="2..6", train=SIX)
    world.step()
    world.backend.begin(f"{job}-r1.0")
    world.step(4)
    return job


SIX = {"epochs": 2, "batch_size": 96, "samples_per_virtual_worker": 16}


def states(world: World, job: str) -> list[tuple[int, str]]:
    return [(one.workers, str(one.state)) for one in growth_of(world, job)]


def test_a_run_begins_with_its_fewest_workers_and_grows_to_its_most(world: World) -> None:
    job = world.train(*FOLLOWS, workers="2..6", train=SIX)
    world.step()
    allocation = world.backend.allocations()[f"{job}-r1.0"]
    assert (allocation.asked, wish(world, job).world_size, run_of(world, job).world_size) == (2, 6, 2)
    passes(world)
    world.controller.step()
    assert world.job(job).reason == f"runs on 2 of up to 6 workers ({job}-r1)"
    passes(world, 6)
    assert states(world, job) == [(2, "running"), (2, "running")]
    run = run_of(world, job)
    assert (run.world_size, run.slots, dict(run.placement)) == (6, 6, {"a": 2, "b": 2, "c": 2})
    assert world.job(job).reason == f"runs on 6 workers ({job}-r1)"
    assert world.moves(job) == ["queued", "starting", "running"]
    assert said(world, job, "growth") == [
        f"Simulated is asked for 2 more workers ({job}-r1.100)",
        f"Simulated is asked for 2 more workers ({job}-r1.101)",
    ]


def test_no_more_growth_waits_at_a_time_than_the_profile_says(tmp_path: Path) -> None:
    world = queueing(tmp_path, growth={"at_once": 1})
    assert states(world, growth_waits(world)) == [(2, "launched")]


def test_growth_is_never_wider_than_what_is_missing(world: World) -> None:
    job = grown(world, workers="2..5")
    assert states(world, job) == [(2, "running"), (1, "running")]
    assert run_of(world, job).world_size == 5


def test_nothing_grows_where_the_profile_has_no_growth(tmp_path: Path) -> None:
    world = World(tmp_path, slots=6, queues=True, profile={"slurm": {}})
    job = world.train(*FOLLOWS, workers="2..6", train=SIX)
    passes(world, 8)
    assert states(world, job) == []
    assert world.job(job).reason == f"runs on 2 workers ({job}-r1)"
    with pytest.raises(Conflict, match="no run grows on cluster simulated"):
        world.service.resize(job, 4)


def test_growth_that_is_preempted_is_no_failure_and_comes_again_after_a_back_off(world: World) -> None:
    job = grown(world)
    world.backend.take_back(f"{job}-r1.100")
    passes(world, 3)
    assert world.state(job) == "running"
    assert run_of(world, job).world_size == 4
    assert world.job(job).reason == f"runs on 4 of up to 6 workers ({job}-r1)"
    assert said(world, job, "growth")[-1] == f"{job}-r1.100 is over (preempted): 2 workers fewer"
    assert len(growth_of(world, job)) == 2
    passes(world, 10, seconds=5)
    assert states(world, job) == [(2, "ended"), (2, "running"), (2, "running")]
    assert world.job(job).failures == {}


def test_growth_that_lasted_comes_again_at_once_and_what_is_taken_back_soon_ever_later(world: World) -> None:
    job = grown(world)
    world.clock.advance(600)
    world.backend.take_back(f"{job}-r1.101")
    passes(world, 4)
    assert states(world, job)[-1] == (2, "running")
    waited = []
    for number in range(102, 105):
        world.backend.take_back(f"{job}-r1.{number}")
        began = world.clock.now()
        for _ in range(30):
            if growth_of(world, job)[-1].number > number:
                break
            passes(world, seconds=5)
        waited.append(world.clock.now() - began)
        passes(world, 3)
    assert waited == pytest.approx([30, 60, 120], abs=6)


def test_nothing_grows_that_is_nearly_over(tmp_path: Path) -> None:
    world = queueing(tmp_path, growth={"least": 300})
    job = world.train("start", "progress:9", *["wait"] * 100, workers="2..6", train=SIX)
    world.step()
    world.backend.begin_all()
    world.backend.tick()
    world.clock.advance(90)
    world.backend.tick()
    passes(world, 10)
    assert world.state(job) == "running"
    assert states(world, job) == []


def test_a_person_makes_it_narrower_and_wider_again(world: World) -> None:
    job = grown(world)
    assert world.service.resize(job, 3).state == "running"
    passes(world, 4)
    assert states(world, job) == [(2, "running"), (2, "ended")]
    run = run_of(world, job)
    assert (run.world_size, run.wanted, run.pinned, wish(world, job).world_size) == (3, 3, True, 3)
    world.service.resize(job, 2)
    passes(world, 4)
    assert states(world, job) == [(2, "ended"), (2, "ended")]
    world.service.resize(job, 4)
    assert world.job(job).reason == f"runs on 2 of up to 4 workers ({job}-r1); Simulated gives it more as there is room"
    passes(world, 5)
    assert run_of(world, job).world_size == 4
    world.service.resize(job, None)
    passes(world, 5)
    assert run_of(world, job).world_size == 6
    assert said(world, job, "width")[0] == "asked to have up to 3 workers by somebody"
    assert len(world.moves(job)) == 3


def test_what_waits_is_called_off_before_what_runs_leaves(world: World) -> None:
    job = growth_waits(world)
    world.backend.begin(f"{job}-r1.100")
    world.step(2)
    assert states(world, job) == [(2, "running"), (2, "launched")]
    world.service.resize(job, 4)
    world.step(3)
    assert states(world, job) == [(2, "running"), (2, "ended")]


def test_a_pin_outlives_the_run(world: World) -> None:
    job = grown(world)
    world.service.resize(job, 4)
    passes(world, 4)
    for number in (0, 100):
        world.backend.take_back(f"{job}-r1.{number}")
    passes(world, 30, seconds=5)
    assert run_of(world, job).number == 2
    run = run_of(world, job)
    assert (run.wanted, run.pinned, run.world_size) == (4, True, 4)


def test_a_width_that_the_workload_cannot_have_is_refused(world: World) -> None:
    job = grown(world)
    with pytest.raises(UsageError, match=r"2 to 6 workers .*not 7"):
        world.service.resize(job, 7)


def test_growth_ends_with_its_run(world: World) -> None:
    job = grown(world)
    world.backend.script(f"{job}-r1.0", "succeed")
    passes(world, 4)
    assert world.state(job) == "succeeded"
    assert {state for _, state in states(world, job)} == {"ended"}
    assert world.backend.list() == []
    assert run_of(world, job).released


def test_growth_that_does_not_leave_is_ended(world: World) -> None:
    job = grown(world)
    world.backend.script(f"{job}-r1.100", "stubborn", "wait")
    world.backend.script(f"{job}-r1.0", "wait", "succeed")
    passes(world, 3)
    assert not run_of(world, job).released
    passes(world, 50)
    assert run_of(world, job).released
    assert world.backend.list() == []


def test_a_run_goes_on_without_the_allocation_that_it_began_with(world: World) -> None:
    job = grown(world)
    world.backend.set_state(f"{job}-r1.0", "ended", "infrastructure")
    world.backend.script(f"{job}-r1.100", "always:follow")
    world.step(3)
    assert world.state(job) == "running"
    assert run_of(world, job).world_size == 4
    assert states(world, job)[2:] == [(2, "launched")]
    passes(world, 4)
    assert run_of(world, job).world_size == 6
    world.backend.script(f"{job}-r1.100", "succeed")
    passes(world, 4)
    assert world.state(job) == "succeeded"
    assert world.backend.list() == []


def test_a_run_of_which_nothing_is_left_is_recovered(world: World) -> None:
    job = grown(world)
    for number in (0, 100, 101):
        world.backend.set_state(f"{job}-r1.{number}", "ended", "infrastructure")
    world.controller.step()
    assert world.state(job) == "recovering"
    world.clock.advance(60)
    passes(world, 8)
    assert [run.number for run in world.job(job).runs] == [1, 2]
    assert world.job(job).failures == {"infrastructure": 1}


def test_growth_that_only_waits_keeps_no_run_alive(world: World) -> None:
    job = growth_waits(world)
    assert {state for _, state in states(world, job)} == {"launched"}
    world.backend.set_state(f"{job}-r1.0", "ended", "infrastructure")
    world.step()
    assert world.state(job) == "recovering"
    world.step(2)
    assert {state for _, state in states(world, job)} == {"ended"}
    assert world.backend.list() == []


def test_nothing_is_concluded_of_what_the_engine_does_not_know_now(world: World) -> None:
    job = grown(world)
    world.backend.unknown |= {f"{job}-r1.{number}" for number in (0, 100, 101)}
    for _ in range(50):
        world.controller.step()
        world.clock.advance(10)
    assert world.state(job) == "running"
    assert states(world, job) == [(2, "running"), (2, "running")]
    world.backend.unknown -= {f"{job}-r1.100", f"{job}-r1.101"}
    world.backend.set_state(f"{job}-r1.100", "ended", "preempted")
    world.controller.step()
    assert states(world, job) == [(2, "ended"), (2, "running")]


def test_a_job_that_is_cancelled_takes_its_growth_with_it(world: World) -> None:
    job = growth_waits(world)
    world.backend.begin(f"{job}-r1.100")
    world.step()
    world.service.cancel(job)
    world.step(6)
    assert world.state(job) == "cancelled"
    assert world.backend.list() == []
    assert {state for _, state in states(world, job)} == {"ended"}


def test_growth_is_not_forgotten_where_the_rest_of_a_cancelled_run_is_gone_already(world: World) -> None:
    job = growth_waits(world)
    world.backend.set_state(f"{job}-r1.0", "absent")
    world.service.cancel(job)
    world.step(6)
    assert world.state(job) == "cancelled"
    assert world.backend.list() == []
    assert {state for _, state in states(world, job)} == {"ended"}


def test_growth_whose_launch_was_not_answered_is_found_again(world: World) -> None:
    job = world.train(*FOLLOWS, workers="2..6", train=SIX)
    passes(world, 2)
    world.backend.answers_to_lose = 2
    passes(world, 8)
    assert states(world, job) == [(2, "running"), (2, "running")]
    assert {one.starts for one in world.backend.allocations().values()} == {1}


def test_growth_whose_launch_went_wrong_after_the_engine_took_it_is_found_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, launch = world.train(*FOLLOWS, workers="2..6", train=SIX), world.backend.launch
    passes(world)

    def full(request: LaunchRequest) -> None:
        launch(request)
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(world.backend, "launch", full)
        world.step(2)
    passes(world, 4)
    assert states(world, job) == [(2, "running"), (2, "running")]
    assert len(world.backend.list()) == 3


def test_growth_that_carries_its_run_stays_when_the_engine_has_forgotten_what_it_began_with(world: World) -> None:
    job = grown(world, workers="2..4")
    world.backend.set_state(f"{job}-r1.0", "absent")
    world.backend.script(f"{job}-r1.100", "always:follow")
    passes(world, 4)
    assert world.state(job) == "running"
    assert states(world, job) == [(2, "running"), (2, "running")]
    assert run_of(world, job).world_size == 4


def test_nothing_is_remembered_of_the_growth_of_runs_that_are_over(world: World) -> None:
    job = grown(world)
    world.backend.take_back(f"{job}-r1.100")
    passes(world, 4)
    timed = world.controller._growing._weighing._timed
    assert list(timed) == [f"{job}-r1"]
    world.backend.script(f"{job}-r1.0", "succeed")
    passes(world, 4)
    assert world.state(job) == "succeeded"
    other = grown(world)
    assert f"{job}-r1" not in world.controller._growing._weighing._timed
    assert world.state(other) == "running"


def test_growth_that_is_absent_for_long_is_over(world: World) -> None:
    job = grown(world)
    world.backend.set_state(f"{job}-r1.100", "absent")
    passes(world, 3)
    assert growth_of(world, job)[0].state is GrowthState.RUNNING
    passes(world, 5, seconds=12)
    assert growth_of(world, job)[0].state is GrowthState.ENDED


def test_its_team_pays_for_what_it_has(world: World) -> None:
    job = grown(world)
    before = world.record(job).attained
    world.clock.advance(1000)
    world.controller.step()
    assert world.record(job).attained - before == pytest.approx(6000, rel=0.01)


def test_a_number_is_used_once_whatever_the_store_has_forgotten(world: World) -> None:
    job = world.train(*FOLLOWS, workers="2..6", train=SIX)
    world.step()
    (world.run_directory(job).path / "agent-104.json").write_text("{}")
    passes(world, 8)
    assert [one.number for one in growth_of(world, job)] == [105, 106]


def test_a_worker_that_is_lost_is_told_and_the_next_view_counts(world: World) -> None:
    job = grown(world)
    EventWriter(world.run_directory(job), "agent-0", 1).append("worker_lost", number=1)
    world.controller.step()
    assert world.job(job).reason == f"waits for another worker: 5 of 6 left ({job}-r1)"


@pytest.mark.parametrize("killed", ["before commit growth released", "before engine stop", "after engine stop"])
def test_growth_that_a_server_only_meant_to_call_off_is_called_off_by_the_next_one(world: World, killed: str) -> None:
    job = growth_waits(world)

    def die(name: str) -> None:
        if name == killed:
            raise KeyboardInterrupt

    world.service.resize(job, 2)
    world.restart(die)
    with pytest.raises(KeyboardInterrupt):
        world.controller.step()
    world.restart()
    world.step(3)
    assert states(world, job) == [(2, "ended"), (2, "ended")]
    assert world.backend.list() == [f"{job}-r1.0"]
    assert world.state(job) == "running"
