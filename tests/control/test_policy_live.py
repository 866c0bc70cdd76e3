"""The live queue under a policy: running jobs stop, shrink and grow for others, and nobody is cheated of their room."""

from pathlib import Path

import pytest
from live_policy_kit import command, spare, training, widths, world_of

from orchestrator.backends.protocol import Capacity
from orchestrator.base.errors import Conflict
from orchestrator.control.dispatcher import Dispatcher
from orchestrator.control.questions import Questions
from orchestrator.control.snapshot import current_snapshot
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.store import jobs, runs
from orchestrator.testing.world import World

pytestmark = pytest.mark.usefixtures("held_decisions")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return world_of(tmp_path)


def preempting(world: World) -> tuple[str, str]:
    """A job that was asked to stop, and the one that it stops for."""
    low = command(world, 4)
    world.step(20)
    high = command(world, 4, 5, priority=50)
    world.controller.step()
    assert world.record(high).claim == (("localhost", 4),)
    return low, high


def test_a_higher_priority_stops_a_running_job_and_gets_its_slots(world: World) -> None:
    low, high = preempting(world)
    assert world.job(low).reason.startswith(f"asked to stop for {high}: ")
    world.step(3)
    assert (world.state(low), world.state(high)) == ("queued", "running")
    assert world.job(low).reason == f"preempted for {high}; starts from the beginning when its turn comes"
    details = Questions(world.service.site).why(low).details
    assert sum("from the beginning" in one for one in details) == 1
    world.finish()
    assert [run.state for run in world.job(low).runs] == ["stopped", "succeeded"]


def test_a_preemption_uses_up_no_retry_and_waits_for_no_back_off(world: World) -> None:
    low, high = preempting(world)
    world.step(3)
    view = world.job(low)
    assert (view.failures, view.preemptions) == ({}, 1)
    with world.store.read() as connection:
        record = jobs.get(connection, low)
    assert record.not_before is None
    assert record.waits_since > record.created_at
    world.finish()
    ends = {job: world.job(job).runs[-1].created_at for job in (low, high)}
    assert world.job(high).finished_at is not None
    assert ends[low] - (world.job(high).finished_at or 0) <= 1.5


def test_a_run_that_fails_while_it_is_asked_to_stop_pays_for_its_failure(world: World) -> None:
    low = world.submit("start", "stubborn", *["wait"] * 18, "fail", resources={"workers": 4}, retry={"backoff": 1})
    world.step(20)
    high = command(world, 4, 5, priority=50)
    world.step(3)
    assert (world.job(low).preemptions, world.job(low).failures) == (0, {"application": 1})
    assert world.state(high) in {"starting", "running"}


def test_a_run_that_does_not_stop_in_time_is_killed_and_was_preempted_all_the_same(world: World) -> None:
    low = world.submit("start", "stubborn", *["wait"] * 100, "succeed", resources={"workers": 4})
    world.step(20)
    high = command(world, 4, 5, priority=50)
    world.step(10)
    assert world.state(high) == "queued"
    world.clock.advance(20)
    world.step(3)
    assert (world.job(low).preemptions, world.job(low).failures) == (1, {})
    assert world.state(high) in {"starting", "running"}


def test_a_run_keeps_its_slots_for_the_least_time_and_the_queue_wakes_then(world: World) -> None:
    low = command(world, 4)
    world.step(2)
    high = command(world, 4, 5, priority=50)
    world.step()
    assert "asked to stop" not in world.job(low).reason
    world.step(12)
    assert world.job(low).preemptions == 1
    assert world.state(high) in {"starting", "running"}


def test_what_is_freed_for_a_job_is_not_taken_by_a_later_small_one(world: World) -> None:
    low = command(world, 3)
    world.step(20)
    high = command(world, 4, 5, priority=50)
    world.controller.step()
    small = [command(world, 1, 3) for _ in range(3)]
    world.step()
    assert world.state(low) in {"running", "recovering"}
    assert {world.state(job) for job in small} == {"queued"}
    world.step(3)
    assert world.state(high) == "running"
    world.finish()


def test_a_server_that_ends_in_the_middle_of_a_preemption_goes_on_with_it(world: World) -> None:
    low, high = preempting(world)
    world.restart()
    small = command(world, 1, 3)
    world.step(3)
    assert (world.state(low), world.state(high), world.state(small)) == ("queued", "running", "queued")
    assert world.job(low).preemptions == 1


@pytest.mark.parametrize("way", ["hold", "cancel"])
def test_what_was_freed_for_a_job_that_waits_no_more_is_for_others(world: World, way: str) -> None:
    low, high = preempting(world)
    getattr(world.service, way)(high)
    assert world.record(high).claim is None
    world.step(3)
    assert world.job(low).state in {"starting", "running"}


def test_an_elastic_job_shrinks_to_let_another_in_and_grows_back(world: World) -> None:
    wide = training(world, "1..4")
    world.step(20)
    assert widths(world, wide) == (4, 4)
    other = command(world, 2, 6)
    world.step(4)
    assert widths(world, wide) == (2, 2)
    assert world.state(other) == "running"
    spare(world)
    world.step(16)
    assert world.state(other) == "succeeded"
    assert widths(world, wide) == (4, 4)
    spare(world)
    told = [event.message for event in world.service.events(wide) if event.kind == "state"]
    assert any(message.startswith(f"asked to resize from 4 to 2 workers for {other}: ") for message in told)


def test_a_job_whose_width_a_person_chose_is_left_alone_until_that_is_taken_back(world: World) -> None:
    wide = training(world, "1..4")
    world.step(20)
    world.service.resize(wide, 3)
    world.step(4)
    assert world.job(wide).pinned
    other = command(world, 2, 6)
    world.step(6)
    assert widths(world, wide) == (3, 3)
    assert world.state(other) == "queued"
    world.service.resize(wide, None)
    world.step(5)
    assert world.state(other) == "running"
    assert not world.job(wide).pinned


def test_a_person_cannot_grow_a_run_into_what_is_being_freed_for_another(world: World) -> None:
    wide = training(world, "1..2", priority=60)  # not for the other to stop
    low = command(world, 1)
    world.step(20)
    world.service.resize(wide, 1)
    world.step(4)
    assert widths(world, wide) == (1, 1)
    high = command(world, 3, 5, priority=50)
    world.controller.step()
    assert world.record(high).claim == (("localhost", 3),)
    assert world.state(low) == "running"
    with pytest.raises(Conflict, match="needs 1 cpu slot; 0 of 4 free"):
        world.service.resize(wide, 2)


def test_a_resize_that_frees_nothing_in_time_ends_the_claim_on_it(world: World) -> None:
    wide = world.train("start", workers="1..4")
    world.step(20)
    other = command(world, 2, 6)
    world.step(2)
    assert world.record(other).claim is not None
    assert world.state(wide) == "resizing"
    world.backend.set_state(f"{wide}-r1.0", "running")
    world.clock.advance(299)
    world.controller.step()
    world.clock.advance(3)
    world.service.hold(other)
    world.controller.step()
    assert world.state(wide) == "running"
    assert widths(world, wide) == (4, 4)
    assert world.record(other).claim is None


def test_a_command_keeps_the_width_that_it_was_started_with(world: World) -> None:
    wide = world.submit("start", *["wait"] * 30, "succeed", resources={"workers": "1..4"})
    world.step(20)
    other = command(world, 2, 6)
    world.step(10)
    assert widths(world, wide) == (4, 4)
    assert world.state(other) == "queued"


def test_a_changed_priority_counts_at_once_and_is_in_the_history(world: World) -> None:
    low, other = command(world, 4), command(world, 4, 5)
    world.step(20)
    assert world.service.set_priority(other, 50, "ann").priority == 50
    world.step(4)
    assert (world.state(low), world.state(other)) == ("queued", "running")
    (event,) = [event for event in world.service.events(other) if event.kind == "priority"]
    assert event.message == "priority changed from 0 to 50 by ann"


def test_a_start_is_called_off_where_a_person_took_the_room_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = training(world, "1..4")
    world.step(20)
    world.service.resize(wide, 2)
    world.step(4)
    original = Dispatcher._look

    def meanwhile(self: Dispatcher, capacity: Capacity) -> Snapshot:
        found = original(self, capacity)
        world.service.resize(wide, 4)
        return found

    other = command(world, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Dispatcher, "_look", meanwhile)
        world.controller.step()
    assert world.state(other) == "queued"
    world.step(4)
    spare(world)
    assert widths(world, wide) == (4, 4)


def test_what_runs_have_used_is_counted_once(world: World) -> None:
    job = command(world, 2, 300, team="vision")
    world.step(130)
    world.restart()
    world.step(130)
    world.service.cancel(job)
    world.step(4)
    with world.store.read() as connection:
        record, (run,) = jobs.get(connection, job), runs.of_jobs(connection, [job])[job]
    held = (run.counted or 0) - run.created_at
    assert record.attained == pytest.approx(2 * held)
    (used,) = current_snapshot(world.service.site).usage
    assert used.team == "vision"
    assert used.slot_seconds == pytest.approx(2 * held, rel=1e-3)


def test_progress_tells_how_much_of_an_estimated_job_is_done(world: World) -> None:
    job = world.train("start", "wait", "progress:5", *["wait"] * 50, workers="4")
    with world.store.write() as connection:
        jobs.set_columns(connection, jobs.get(connection, job), estimate={"seconds": 1000.0, "error": 0.3})
    world.step(6)
    (running,) = current_snapshot(world.service.site).running
    assert running.job.worked == 500.0
    assert running.worked(running.counted + 10) == 510.0
    assert running.saved == 0.0


def test_a_retry_whose_last_run_still_holds_slots_waits_until_they_are_free(world: World) -> None:
    job = world.submit("start", "fail", "wait", retry={"application": 0})
    world.step(2)
    world.backend.set_state(f"{job}-r1.0", "running")
    world.step(2)
    assert world.state(job) == "failed"
    world.service.retry(job)
    world.step()
    assert world.state(job) == "queued"
    assert world.why(job) == "waits until its last run has freed its slots"
    world.backend.set_state(f"{job}-r1.0", "ended")
    world.step(2)
    assert len(world.job(job).runs) == 2


def test_plans_go_by_the_estimate_where_only_the_cluster_sets_a_limit(tmp_path: Path) -> None:
    world = world_of(tmp_path, limits={"max_time": "30d"})
    plain, limited, unknown = (command(world, 1, 2, **more) for more in ({}, {"time_limit": "1h"}, {}))
    with world.service.site.commit("test") as connection:
        for job in (plain, limited):
            jobs.set_columns(connection, jobs.get(connection, job), estimate={"seconds": 600.0, "error": 0.3})
    waiting = {job.id: job.limit for job in current_snapshot(world.service.site).pending}
    assert waiting == {plain: None, limited: 3600.0, unknown: 30 * 86_400.0}
    world.step(2)
    running = {run.job.id: run.job for run in current_snapshot(world.service.site).running}
    assert {job: found.limit for job, found in running.items()} == waiting
    most = {plain: 30 * 86_400.0, limited: 3600.0, unknown: 30 * 86_400.0}  # the cluster's stays an upper bound
    assert {job: found.max_time for job, found in running.items()} == most
