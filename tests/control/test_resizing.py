"""A running job gets another number of workers: what is refused, how it goes, and what is kept of the queue's slots."""

from pathlib import Path

import pytest

from orchestrator.base.errors import Conflict, NotFound, UsageError
from orchestrator.control.questions import Questions
from orchestrator.rundir.control import Control, read_control
from orchestrator.rundir.events import EventWriter
from orchestrator.rundir.membership import Member, View, publish_view
from orchestrator.spec.profile import Limits
from orchestrator.store import runs
from orchestrator.testing.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, slots=4)


def running(world: World, *script: str, workers: str = "1..4") -> str:
    """A training that runs on as many workers as there is room for; its script goes on after that."""
    job = world.train("start", "wait", *script, workers=workers)
    world.step(2)
    return job


def shrunk(world: World, *script: str) -> str:
    """A training that runs on 2 of up to 4 workers."""
    job = running(world, "resize", *script)
    world.service.resize(job, 2)
    world.step(2)
    return job


def wish(world: World, job: str) -> Control:
    found = read_control(world.run_directory(job))
    assert found is not None
    return found


def free(world: World) -> int:
    """Slots that a new job could have."""
    capacity = world.backend.capacity()
    with world.store.read() as connection:
        held = sum(run.slots for run in runs.unreleased(connection))
    return min(capacity.free, capacity.slots - held)


def test_a_resize_is_written_down_told_to_the_run_and_done_when_the_run_says_so(world: World) -> None:
    job = running(world, "wait", "resize", "succeed")
    assert world.service.resize(job, 2).state == "resizing"
    assert world.job(job).reason == "asked to resize from 4 to 2 workers by somebody"
    assert wish(world, job).world_size == 4
    world.step()
    assert (wish(world, job).world_size, wish(world, job).generation) == (2, 2)
    world.step(2)
    view = world.job(job)
    assert view.state == "running"
    assert view.reason == f"runs on 2 workers ({job}-r1), resized from 4"
    assert (view.runs[0].world_size, view.runs[0].wanted) == (2, 2)
    world.finish()
    assert world.moves(job) == ["queued", "starting", "running", "resizing", "running", "succeeded"]


def test_slots_are_free_again_once_the_run_has_shrunk_and_not_before(world: World) -> None:
    job = running(world, "wait", "resize", "wait")
    world.service.resize(job, 2)
    world.step()
    assert free(world) == 0
    world.step(2)
    assert free(world) == 2


def test_slots_are_kept_for_a_run_that_grows(world: World) -> None:
    job = shrunk(world, "wait", "wait", "wait", "resize", "wait")
    world.service.resize(job, 4)
    other = world.submit("start", "succeed", resources={"workers": 2})
    world.step(2)
    assert world.state(other) == "queued"
    assert world.why(other).startswith("needs 2 cpu slots on one node; 0 free")


def test_a_resize_to_what_it_has_changes_nothing(world: World) -> None:
    job = running(world, "wait")
    assert world.service.resize(job, 4).state == "running"
    world.step()
    assert wish(world, job).generation == 1


def test_the_same_resize_twice_is_one(world: World) -> None:
    job = running(world, "wait")
    world.service.resize(job, 2)
    assert world.service.resize(job, 2).state == "resizing"
    assert world.moves(job).count("resizing") == 1


def test_a_second_resize_waits_for_the_first(world: World) -> None:
    job = running(world, "wait")
    world.service.resize(job, 2)
    with pytest.raises(Conflict, match="is being resized from 4 to 2 workers already"):
        world.service.resize(job, 3)


def test_only_a_running_job_is_resized(world: World) -> None:
    job = world.train("start", "succeed")
    for workers in (2, 99):
        with pytest.raises(Conflict, match="is queued"):
            world.service.resize(job, workers)
    world.finish()
    with pytest.raises(Conflict, match="has succeeded"):
        world.service.resize(job, 2)
    with pytest.raises(NotFound):
        world.service.resize("j-nobody", 2)


def test_a_job_that_is_starting_says_what_it_does_and_that_it_can_be_resized_later(world: World) -> None:
    job = world.train(*["wait"] * 50, workers="2..4")
    world.step(2)
    assert world.job(job).phase == "starting for 1 s: the engine has taken it, and its agent has not reported yet"
    directory = world.run_directory(job)
    EventWriter(directory, "agent-0", 1).append("agent_started", host="node", pid=1, start_ticks=1)
    EventWriter(directory, "rank-1", 1)
    (directory.logs / "rank-0.log").touch()
    (directory.logs / "rank-1.log").touch()
    world.step(2)
    phase = "starting for 2 s: its agent runs on node; 1 of 4 workers is ready, 2 have been started"
    why = Questions(world.service.site).why(job)
    assert why.phase == world.job(job).phase == phase
    assert "; 4 workers of 2..4 that it asked for: " in why.reason
    with pytest.raises(Conflict, match="cannot be resized yet, it is starting for 2 s") as refused:
        world.service.resize(job, 2)
    assert "once it runs" in refused.value.hint


def test_a_job_that_was_asked_to_stop_is_not_resized(world: World) -> None:
    job = running(world, "wait")
    world.service.cancel(job)
    with pytest.raises(Conflict, match="is being cancelled"):
        world.service.resize(job, 2)


def test_a_command_keeps_its_workers(world: World) -> None:
    job = world.submit("start", "wait", resources={"workers": "1..2"})
    world.step(2)
    with pytest.raises(UsageError, match="is a command: it keeps the workers"):
        world.service.resize(job, 1)


@pytest.mark.parametrize(
    ("asked", "workers", "rule"),
    [
        ("1..3", 4, "has 1 to 3 workers by its resources.workers, not 4"),
        ("2..4", 1, "has 2 to 4 workers by its resources.workers, not 1"),
        ("2", 1, "has 2 workers by its resources.workers, not 1"),
        ("1..8", 5, "cuts its batch into 4 virtual workers; 5 workers would have nothing to do"),
    ],
)
def test_what_the_workload_can_never_have_is_refused(world: World, asked: str, workers: int, rule: str) -> None:
    job = running(world, "wait", workers=asked)
    with pytest.raises(UsageError, match=rule):
        world.service.resize(job, workers)


def test_a_job_that_waits_is_not_advised_to_ask_for_what_it_can_never_have(world: World) -> None:
    job = world.train("start", "succeed", workers="1..4")
    with pytest.raises(Conflict, match="is queued") as refused:
        world.service.resize(job, 5)
    assert "5 workers would have nothing to do" in refused.value.hint
    assert "--set" not in refused.value.hint


def test_what_the_cluster_never_gives_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, slots=4, limits=Limits(max_workers=2))
    job = running(world, "wait")
    assert world.job(job).runs[0].world_size == 2
    with pytest.raises(UsageError, match="cluster simulated allows 2 workers a job"):
        world.service.resize(job, 3)


def test_no_room_is_told_with_numbers_and_with_what_fits(world: World) -> None:
    job = shrunk(world, "wait", "wait", "wait")
    other = world.submit("start", "wait", "wait", "wait")
    world.step()
    with pytest.raises(Conflict) as refused:
        world.service.resize(job, 4)
    expected = f"cannot grow from 2 to 4 workers: for 2 more it needs 2 cpu slots; 1 of 4 free; {other} holds 1"
    assert expected in refused.value.message
    assert refused.value.hint == "there is room for 3 now"
    assert world.state(job) == "running"


def test_a_resize_that_does_not_come_about_goes_back_and_says_so(world: World) -> None:
    job = shrunk(world)
    world.service.resize(job, 4)
    world.step(4)
    assert world.state(job) == "resizing"
    world.step(3, seconds=170)
    view = world.job(job)
    assert view.state == "running"
    assert "wanted on 2 workers again: 4 did not come about within 5 min, it has 2" in view.reason
    world.step()
    assert wish(world, job).world_size == 2
    assert free(world) == 2


def test_the_time_of_a_resize_goes_on_over_a_restart_of_the_server(world: World) -> None:
    job = shrunk(world)
    world.service.resize(job, 4)
    world.step()
    world.clock.advance(280)
    world.restart()
    world.step(2, seconds=30)
    assert world.state(job) == "running"


def test_a_server_that_dies_between_wish_and_control_json_tells_it_when_it_is_back(world: World) -> None:
    job = running(world, "wait", "wait", "resize", "succeed")
    world.service.resize(job, 3)
    world.restart()
    world.step()
    assert wish(world, job).world_size == 3
    world.finish()
    assert world.state(job) == "succeeded"


def test_a_lost_worker_is_told_and_its_slot_is_kept_for_its_replacement(world: World) -> None:
    job = running(world, "workers:3", "workers:4", "succeed")
    world.step(2)
    assert world.job(job).reason == f"runs on 3 of 4 workers ({job}-r1): a worker was lost"
    assert world.job(job).runs[0].world_size == 3
    assert free(world) == 0
    world.step()
    assert world.job(job).reason == f"runs on 4 workers ({job}-r1)"
    told = [event.message for event in world.service.events(job) if event.kind == "resized"]
    assert told[0] == "now on 3 workers: a worker was lost"


def lose(world: World, job: str, number: int) -> None:
    EventWriter(world.run_directory(job), "agent-0", 1).append("worker_lost", number=number, message="was ended")
    world.step()


def test_a_run_below_its_minimum_waits_for_another_worker_and_promises_no_end(world: World) -> None:
    job = running(world, "wait", "wait", "workers:4", "wait", workers="4")
    directory = world.run_directory(job)
    members = tuple(Member(number, "127.0.0.1", 1, 1) for number in range(4))
    publish_view(directory, View(1, members))
    speed = {"samples_per_second": 9.0, "eta_seconds": 60.0}
    EventWriter(directory, "rank-0", 1).append("progress", done=3.0, total=10.0, unit="steps", **speed)
    lose(world, job, 3)
    view = world.job(job)
    assert view.reason == f"waits for another worker: 3 of 4 left ({job}-r1)"
    assert (view.runs[0].world_size, view.runs[0].wanted) == (3, 4)
    assert view.progress is not None
    assert (view.progress.done, view.progress.samples_per_second, view.progress.eta_seconds) == (3.0, None, None)
    lose(world, job, 1)
    assert world.job(job).reason == f"waits for another worker: 2 of 4 left ({job}-r1)"
    world.step(3)
    assert world.job(job).reason == f"runs on 4 workers ({job}-r1)"


def test_a_worker_that_is_lost_without_a_place_in_the_view_is_not_waited_for(world: World) -> None:
    job = running(world, "wait", "wait", "wait")
    publish_view(world.run_directory(job), View(1, tuple(Member(n, "127.0.0.1", 1, 1) for n in range(4))))
    lose(world, job, 7)
    assert world.job(job).reason == f"runs on 4 workers ({job}-r1)"


def test_a_lost_worker_that_nobody_wants_back_is_not_waited_for(world: World) -> None:
    job = running(world, "workers:3", "wait", "wait", "wait")
    world.step(2)
    assert world.service.resize(job, 3).state == "running"
    world.step()
    assert wish(world, job).world_size == 3


def test_a_run_that_ends_while_it_is_resized_ends_as_it_says(world: World) -> None:
    job = running(world, "wait", "succeed")
    world.service.resize(job, 2)
    world.finish()
    assert world.moves(job)[-2:] == ["resizing", "succeeded"]


def test_a_job_that_is_cancelled_while_it_is_resized_is_cancelled(world: World) -> None:
    job = running(world, "wait", "resize", "wait")
    world.service.resize(job, 2)
    world.service.cancel(job)
    world.finish()
    assert world.state(job) == "cancelled"


def test_the_run_after_one_that_was_resized_has_the_width_that_was_chosen(world: World) -> None:
    job = running(world, "first:resize", "first:fail", "succeed")
    world.service.resize(job, 2)
    world.step(3)
    world.finish()
    assert [run.world_size for run in world.job(job).runs] == [2, 2]


def test_an_old_view_that_is_read_late_changes_nothing(world: World) -> None:
    job = running(world, "wait", "wait", "wait", "wait")
    directory = world.run_directory(job)
    EventWriter(directory, "agent-1", 1).append("resized", world_size=2, epoch=9, cause="resize")
    world.step()
    EventWriter(directory, "agent-0", 1).append("resized", world_size=3, epoch=8, cause="lost")
    world.step()
    assert world.job(job).runs[0].world_size == 2


@pytest.mark.parametrize("data", [{}, {"world_size": -1, "epoch": 3}, {"world_size": "x", "epoch": []}])
def test_a_word_that_is_no_view_is_passed_over(world: World, data: dict[str, object]) -> None:
    job = running(world, "wait", "wait")
    EventWriter(world.run_directory(job), "agent-0", 1).append("resized", **data)
    world.step()
    assert world.job(job).runs[0].world_size == 4


def test_a_run_that_somebody_cancelled_is_told_so_and_is_no_failure(world: World) -> None:
    job = running(world, "wait", "wait")
    world.service.cancel(job)
    world.finish()
    (run,) = world.job(job).runs
    assert (run.state, run.failure_class) == ("stopped", None)
    assert run.message.startswith("cancelled: stopped")
