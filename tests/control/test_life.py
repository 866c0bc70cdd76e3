"""A job's life, as the controller leads it."""

import time
from pathlib import Path

import pytest

from orchestrator.base.errors import Conflict
from orchestrator.control.loop import Controller
from orchestrator.control.starts import Starts
from orchestrator.rundir.control import read_control
from orchestrator.rundir.events import EventWriter
from orchestrator.rundir.fence import read_fence
from orchestrator.rundir.launch import read_launch
from orchestrator.spec.load import thaw_workload
from orchestrator.spec.profile import Limits
from orchestrator.store import jobs as table
from orchestrator.testing.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


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
    assert "no retry can help" in view.reason
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


def test_garbage_among_the_events_harms_only_its_own_run(world: World) -> None:
    bad = world.submit("start", "wait", "die", retry={"infrastructure": 0})
    good = world.submit("start", "wait", "succeed")
    world.step(2)
    folder = world.run_directory(bad).events / "rank-0"
    folder.mkdir()
    (folder / "00000000.json").write_text('{"no": "event"}')
    world.finish()
    assert (world.state(bad), world.state(good)) == ("failed", "succeeded")


def test_trials_are_read_into_the_store(world: World) -> None:
    job = world.submit("start", "trial:0", "trial:2", "succeed")
    world.step(3)
    assert [trial.index for trial in world.service.results(job).trials] == [0]
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


def test_a_run_directory_that_cannot_be_written_is_told_and_tried_again(world: World) -> None:
    (world.root / "runs").mkdir()
    (world.root / "runs" / "jobs").write_text("in the way")
    job = world.submit()
    world.step(2)
    assert "its run directory cannot be written" in world.job(job).reason
    assert "iB are free" in world.job(job).reason
    (world.root / "runs" / "jobs").unlink()
    world.finish()
    assert world.state(job) == "succeeded"


def test_a_fence_that_cannot_be_read_fails_its_own_job_by_name_and_the_queue_goes_on(world: World) -> None:
    bad = world.submit(retry={"infrastructure": 1, "backoff": 1})
    world.job_directory(bad).path.mkdir(parents=True)
    world.job_directory(bad).fence.touch()
    good = world.submit()
    world.finish()
    assert (world.state(bad), world.state(good)) == ("failed", "succeeded")
    assert f"{world.job_directory(bad).fence}: this is no fencing token" in world.job(bad).reason
    assert "hint: remove the file" in world.job(bad).reason
    world.job_directory(bad).fence.unlink()
    world.service.retry(bad)
    world.finish()
    assert world.state(bad) == "succeeded"


def test_a_stored_workload_that_cannot_be_read_fails_its_own_job_and_the_queue_goes_on(world: World) -> None:
    bad, good = world.submit(), world.submit()
    spoil(world, bad)
    world.finish()
    assert (world.state(bad), world.state(good)) == ("failed", "succeeded")
    assert world.job(bad).reason.startswith(f"the stored workload of job {bad} cannot be read (not a frozen workload")


def test_a_run_ends_even_where_the_stored_workload_cannot_be_read_any_more(world: World) -> None:
    bad, good = world.submit("start", "wait", "fail"), world.submit("start", "wait", "succeed")
    world.step(3)
    spoil(world, bad)
    world.finish()
    assert (world.state(bad), world.state(good)) == ("failed", "succeeded")
    assert "it broke; the stored workload" in world.job(bad).reason
    assert world.backend.capacity().free == 2


@pytest.mark.parametrize("step", ["_write_down", "_prepare"])
def test_trouble_that_nobody_foresaw_is_told_of_its_own_job_and_the_queue_goes_on(
    world: World, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = world.submit("start", "wait", "succeed"), world.submit()
    with monkeypatch.context() as patch:
        original = getattr(Starts, step)

        def broken(self: Starts, first: object, *rest: object) -> object:
            if bad in str(first):
                raise RuntimeError("gremlins")
            return original(self, first, *rest)

        patch.setattr(Starts, step, broken)
        world.step(10)
    assert world.state(good) == "succeeded"
    assert world.job(bad).reason.startswith("in trouble, tried again in the next pass: RuntimeError: gremlins")
    world.step(2)
    assert "trouble" not in world.job(bad).reason
    world.finish()
    assert world.state(bad) == "succeeded"


def test_trouble_with_a_run_is_told_until_a_look_goes_well(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = world.submit("start", *["wait"] * 10, "succeed")
    world.step(3)
    with monkeypatch.context() as patch:
        patch.setattr(Controller, "_limit_time", lambda self, run: 1 / 0)
        world.step(2)
        assert "ZeroDivisionError" in world.job(job).reason
    world.step()
    assert world.job(job).reason == f"runs on 1 worker ({job}-r1)"


def spoil(world: World, job: str) -> None:
    with world.store.write() as connection:
        table.set_columns(connection, table.get(connection, job), workload="no workload")


def test_an_idle_controller_does_nothing(world: World) -> None:
    world.submit()
    world.finish()
    world.step(2)
    version, start = world.store.version, time.monotonic()
    assert world.controller.step() == 5.0
    assert world.store.version == version
    assert time.monotonic() - start < 1
