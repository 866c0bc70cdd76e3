"""A job's life, as the controller leads it."""

import time
from pathlib import Path

import pytest

from orchestrator.base.errors import Conflict
from orchestrator.rundir.control import read_control
from orchestrator.rundir.events import EventWriter
from orchestrator.rundir.fence import read_fence
from orchestrator.rundir.launch import read_launch
from orchestrator.spec.load import thaw_workload
from orchestrator.spec.profile import Limits
from orchestrator.store import trials
from orchestrator.testing.world import World


def test_a_job_is_queued_started_run_and_succeeds(world: World) -> None:
    job = world.submit("start", "progress:5", "succeed")
    world.finish()
    assert world.moves(job) == ["queued", "starting", "running", "succeeded"]
    view = world.job(job)
    assert view.reason == "all done"
    assert view.progress is not None
    assert view.progress.done == 5
    assert [(run.id, run.state) for run in view.runs] == [(f"{job}-r1", "succeeded")]
    assert view.started_at is not None
    assert view.finished_at is not None


def test_the_run_directory_holds_all_that_the_agent_needs(world: World) -> None:
    job = world.submit("start", "wait", "succeed", resources={"workers": "1..2", "cpus_per_worker": 1})
    world.step()
    run = world.run_directory(job)
    launch, control = read_launch(run), read_control(run)
    assert (launch.argv, launch.workers, launch.token) == (("start", "wait", "succeed"), 2, 1)
    assert control is not None
    assert (control.want, control.token, control.world_size) == ("run", 1, 2)
    assert read_fence(world.job_directory(job)) == 1
    assert thaw_workload(world.job_directory(job).spec.read_text()).name == "job"


def test_a_failed_run_is_retried_within_the_budget_of_its_class(world: World) -> None:
    job = world.submit("start", "fail:application", retry={"application": 1, "backoff": 4})
    world.finish()
    view = world.job(job)
    cycle = ["queued", "starting", "running"]
    assert world.moves(job) == [*cycle, "recovering", *cycle, "failed"]
    assert view.failures == {"application": 2}
    assert "its budget is used up (retry.application: 1)" in view.reason
    assert "it broke" in view.reason


def test_each_class_has_a_budget_of_its_own(world: World) -> None:
    job = world.submit("start", "die:preempted", retry={"preempted": 3, "application": 0, "backoff": 1})
    world.finish()
    assert world.job(job).failures == {"preempted": 4}


def test_a_run_that_ends_without_a_word_is_an_infrastructure_failure(world: World) -> None:
    job = world.submit("start", "first:die", "succeed", retry={"backoff": 1})
    world.finish()
    view = world.job(job)
    assert view.state == "succeeded"
    assert view.failures == {"infrastructure": 1}
    assert [run.failure_class for run in view.runs] == ["infrastructure", None]


def test_an_unknown_failure_class_counts_as_an_error_of_the_application(world: World) -> None:
    job = world.submit("start", "fail:gremlins", retry={"application": 0})
    world.finish()
    assert world.job(job).failures == {"application": 1}


def test_a_retry_waits_for_its_back_off_and_keeps_its_place(world: World) -> None:
    first = world.submit("start", "first:fail", "succeed", retry={"backoff": 60}, resources={"workers": 2})
    world.step(4)
    second = world.submit("start", "wait", "wait", "succeed", resources={"workers": 2})
    world.step()
    assert world.state(second) == "starting"  # back-off holds nobody back
    assert "failed once; starts again after" in world.job(first).reason
    third = world.submit("start", "succeed", resources={"workers": 2})
    world.clock.advance(60)
    world.finish()
    began = {job: world.job(job).runs[-1].created_at for job in (first, third)}
    assert began[first] < began[third]


def test_each_run_has_a_higher_token(world: World) -> None:
    job = world.submit("start", "first:fail", "succeed", retry={"backoff": 1})
    world.finish()
    assert read_fence(world.job_directory(job)) == 2
    assert read_launch(world.run_directory(job, 2)).token == 2


def test_a_refused_launch_is_final(world: World) -> None:
    job = world.submit("refuse")
    world.finish()
    view = world.job(job)
    assert view.state == "failed"
    assert "the engine refuses it" in view.reason
    assert "it is not tried again by itself" in view.reason
    assert world.backend.allocations() == {}


def test_gangs_wait_with_numbers_until_they_fit(world: World) -> None:
    world.submit("start", "wait", "wait", "wait", "succeed")
    world.step(2)
    large = world.submit("start", "succeed", resources={"workers": 2})
    behind = world.submit("start", "succeed")
    world.step()
    assert world.why(large).startswith("needs 2 cpu slots on one node; 1 free")
    assert world.why(behind).startswith(f"waits behind {large}")
    world.finish()


def test_the_stored_reason_of_a_waiting_job_is_what_happened_last_and_costs_no_write(world: World) -> None:
    world.submit("start", *["wait"] * 20, "succeed", resources={"workers": 2})
    waiting = [world.submit("start", "succeed") for _ in range(3)]
    world.step(3)
    version = world.store.version
    world.step(3)
    assert world.store.version == version
    assert {world.job(job).reason for job in waiting} == {"queued"}


def test_priority_goes_first(world: World) -> None:
    blocker = world.submit("start", "wait", "succeed", resources={"workers": 2})
    world.step()
    low = world.submit("start", "succeed", resources={"workers": 2})
    high = world.submit("start", "succeed", priority=5, resources={"workers": 2})
    world.finish()
    began = {job: world.job(job).started_at or 0 for job in (blocker, low, high)}
    assert began[blocker] < began[high] < began[low]


def test_slots_are_given_away_only_when_the_engine_has_them_back(world: World) -> None:
    first = world.submit("start", "linger", resources={"workers": 2})
    second = world.submit("start", "succeed", resources={"workers": 2})
    world.step(4)
    assert world.state(first) == "succeeded"
    assert world.state(second) == "queued"
    world.finish()  # what does not let go within the grace time is killed
    assert world.state(second) == "succeeded"
    assert "kill" in world.backend.calls


def test_events_are_taken_in_once_and_those_of_another_token_not_at_all(world: World) -> None:
    job = world.submit("start", *["wait"] * 5, "succeed")
    world.step(3)
    stale = EventWriter(world.run_directory(job), "rank-7", token=0)
    stale.append("finished", outcome="failed", message="from the past")
    stale.append("checkpoint", samples=5)
    EventWriter(world.run_directory(job), "rank-8", token=1).append("checkpoint", samples=10)
    world.step(2)
    world.restart()
    world.step(2)
    told = [event.message for event in world.service.events(job) if event.kind == "checkpoint"]
    assert told == ["checkpoint at 10 samples"]
    world.finish()
    assert world.state(job) == "succeeded"


def test_corrupt_records_that_a_run_left_out_are_in_the_jobs_history(world: World) -> None:
    job = world.submit("start", *["wait"] * 3, "succeed")
    world.step(3)
    writer = EventWriter(world.run_directory(job), "rank-3", token=1)
    writer.append("data_skipped", split="train", shard="train-00007.arrow", rows=[5, 9], count=2)
    world.step(1)
    [event] = [event for event in world.service.events(job) if event.kind == "data_skipped"]
    assert event.message == "2 corrupt records of shard train-00007.arrow left out (train)"
    assert event.data["rows"] == [5, 9]


def test_trials_are_read_into_the_store(world: World) -> None:
    job = world.submit("start", "trial:0", "trial:2", "succeed")
    world.step(3)
    with world.store.read() as connection:
        assert [trial.number for trial in trials.of_job(connection, job)] == [0]
    assert [trial.index for trial in world.service.results(job).trials] == [0, 2]
    late = world.job_directory(job).trials / "00001.json"
    late.write_text('{"index": 1, "state": "failed", "message": "nobody told of it"}')
    world.finish()
    found = world.service.results(job).trials
    assert [(trial.index, trial.state) for trial in found] == [(0, "succeeded"), (1, "failed"), (2, "succeeded")]


def test_a_run_beyond_its_time_limit_is_stopped_and_retried_at_its_budget(world: World) -> None:
    job = world.submit("start", *["wait"] * 100, time_limit="10s", retry={"time_limit": 1, "backoff": 1})
    world.finish()
    view = world.job(job)
    assert (view.state, view.failures) == ("failed", {"time_limit": 2})
    assert [run.failure_class for run in view.runs] == ["time_limit", "time_limit"]
    assert any("time limit of 10 s" in event.message for event in world.service.events(job))


def test_a_command_that_reaches_its_time_limit_would_reach_it_again_and_is_not_retried(world: World) -> None:
    job = world.submit("start", *["wait"] * 100, time_limit="10s")
    world.finish()
    view = world.job(job)
    assert (view.state, view.failures, len(view.runs)) == ("failed", {"time_limit": 1}, 1)
    assert view.reason.endswith("it saves no state and would reach its limit again, so it is not tried again")


def test_a_training_that_reaches_its_time_limit_goes_on_from_its_checkpoint(world: World) -> None:
    job = world.train("start", *["wait"] * 100, time_limit="10s", retry={"backoff": 1})
    world.step(30)
    view = world.job(job)
    assert view.failures["time_limit"] >= 1
    assert len(view.runs) >= 2


def test_a_controller_forgets_how_long_runs_that_are_over_have_been_running(world: World) -> None:
    world.submit("start", "wait", "wait", "succeed", time_limit="10s")
    world.step(4)
    assert world.controller._running._began
    world.finish()
    world.step(2)
    assert not world.controller._running._began


def test_the_cluster_has_a_time_limit_too(tmp_path: Path) -> None:
    world = World(tmp_path, limits=Limits(max_time=5))
    job = world.submit("start", *["wait"] * 50, retry={"time_limit": 0})
    world.finish()
    assert world.job(job).failures == {"time_limit": 1}


def test_a_dependant_waits_for_its_dependency(world: World) -> None:
    first = world.submit("start", "wait", "succeed", name="prepare")
    second = world.submit("start", "succeed", name="train", depends_on=["prepare"])
    world.step()
    assert world.why(second) == f"waits until {first} has succeeded"
    world.finish()
    assert (world.job(first).finished_at or 0) <= (world.job(second).started_at or 0)


def test_a_failed_dependency_fails_its_dependants_with_a_reason(world: World) -> None:
    first = world.submit("start", "fail", name="prepare", retry={"application": 0})
    second = world.submit(name="train", depends_on=["prepare"])
    third = world.submit(name="report", depends_on=[second])
    world.finish()
    assert world.job(second).reason == f"a job that it depends on did not succeed: {first} has failed"
    assert world.state(third) == "failed"


def test_a_held_job_starts_only_when_it_is_released(world: World) -> None:
    blocker = world.submit("start", "wait", "succeed", resources={"workers": 2})
    job = world.submit()
    world.service.hold(job)
    with pytest.raises(Conflict, match="is held; it must be queued"):
        world.service.hold(job)
    world.step(10)
    assert (world.state(blocker), world.state(job)) == ("succeeded", "held")
    world.service.release(job)
    world.finish()
    assert world.state(job) == "succeeded"


def test_a_store_that_was_restored_from_a_backup_takes_neither_old_run_nor_old_token_again(world: World) -> None:
    job = world.submit("start", "first:fail", "succeed", retry={"backoff": 1})
    world.store.backup(world.root / "backup")
    world.finish()
    world.store.close()
    for path in world.root.glob("store.sqlite*"):
        path.unlink()
    (world.root / "backup").rename(world.root / "store.sqlite")
    world.open()
    world.finish()
    assert [run.id for run in world.job(job).runs] == [f"{job}-r3"]
    assert read_fence(world.job_directory(job)) == 3


def test_an_idle_controller_does_nothing(world: World) -> None:
    world.submit()
    world.finish()
    world.step(2)
    version, start = world.store.version, time.monotonic()
    assert world.controller.step() == 5.0
    assert world.store.version == version
    assert time.monotonic() - start < 1
