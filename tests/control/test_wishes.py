"""Checkpoints that people ask for, and what the time of runs was spent on."""

from pathlib import Path

import pytest

from orchestrator.base.errors import Conflict, UsageError
from orchestrator.control import ingest
from orchestrator.rundir.control import read_control
from orchestrator.rundir.events import EventWriter
from orchestrator.testing.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, slots=4)


def asked(world: World, job: str) -> int:
    found = read_control(world.run_directory(job))
    assert found is not None
    return found.checkpoint


def test_each_request_for_a_checkpoint_reaches_the_run(world: World) -> None:
    job = world.train("start", "wait", "wait", "wait")
    world.step(2)
    for count in (1, 2):
        assert world.service.checkpoint(job).state == "running"
        world.step()
        assert asked(world, job) == count
    assert [event.kind for event in world.service.events(job)].count("checkpointing") == 2


def test_a_request_that_is_repeated_asks_for_one_checkpoint(world: World) -> None:
    job = world.train("start", "wait", "wait", "wait")
    world.step(2)
    for key in ("a", "a", "b", "a"):
        world.service.checkpoint(job, key)
    world.step()
    assert asked(world, job) == 2
    told = [event.data for event in world.service.events(job) if event.kind == "checkpointing"]
    assert told == [{"number": 1, "key": "a"}, {"number": 2, "key": "b"}]


def test_a_request_survives_a_restart_of_the_server(world: World) -> None:
    job = world.train("start", "wait", "wait", "wait")
    world.step(2)
    world.service.checkpoint(job)
    world.restart()
    world.step()
    assert asked(world, job) == 1


def test_the_next_run_is_not_asked_for_what_the_last_one_was_asked_for(world: World) -> None:
    job = world.train("start", "wait", "first:fail", "succeed", retry={"backoff": 1})
    world.step(2)
    world.service.checkpoint(job)
    world.finish()
    control = read_control(world.run_directory(job, 2))
    assert control is not None
    assert control.checkpoint == 0


def test_only_a_running_training_writes_checkpoints(world: World) -> None:
    job = world.train("start", "wait", "wait")
    with pytest.raises(Conflict, match="is queued"):
        world.service.checkpoint(job)
    command = world.submit("start", "wait")
    with pytest.raises(UsageError, match="is a command: it writes no checkpoint"):
        world.service.checkpoint(command)


def test_a_stop_keeps_the_wish_for_a_checkpoint_in_its_control_json(world: World) -> None:
    job = world.train("start", "stubborn", "wait", "wait")
    world.step(3)
    world.service.checkpoint(job)
    world.step()
    world.service.cancel(job)
    world.step()
    control = read_control(world.run_directory(job))
    assert control is not None
    assert (control.want, control.checkpoint) == ("stop", 1)


def test_goodput_is_the_newest_word_of_each_run_summed_over_runs(world: World) -> None:
    words = ("start", "goodput:5/0/1", "goodput:10/1/2", "first:fail", "succeed")
    job = world.train(*words, retry={"backoff": 1})
    world.finish()
    view = world.job(job)
    assert [run.goodput and run.goodput.useful_seconds for run in view.runs] == [10.0, 10.0]
    assert view.goodput is not None
    assert (view.goodput.useful_seconds, view.goodput.redone_seconds, view.goodput.idle_seconds) == (20.0, 2.0, 4.0)


def test_an_older_word_of_another_leader_that_is_read_later_changes_nothing(world: World) -> None:
    job = world.train("start", "goodput:5/0/1", "wait", "wait")
    world.step(3)
    EventWriter(world.run_directory(job), "rank-7", 1).append("goodput", useful_seconds=4.0, idle_seconds=1.0)
    world.step()
    goodput = world.job(job).goodput
    assert goodput is not None
    assert goodput.useful_seconds == 5


def test_what_workers_said_before_the_end_counts_though_it_is_read_after_it(world: World) -> None:
    job = world.train("start", "wait", "succeed")
    world.step(3)
    writer = EventWriter(world.run_directory(job), "rank-0", 1)
    writer.append("goodput", useful_seconds=7.0)
    writer.append("progress", done=10.0, total=10.0, unit="samples")
    world.finish()
    view = world.job(job)
    assert view.goodput is not None
    assert view.progress is not None
    assert (view.goodput.useful_seconds, view.progress.done) == (7.0, 10.0)


def test_the_end_is_taken_last_however_much_was_said_while_nobody_listened(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "BATCH", 20)
    job = world.train("start", "wait", "succeed")
    world.step(3)
    writer = EventWriter(world.run_directory(job), "rank-0", 1)
    for samples in range(47):
        writer.append("checkpoint", samples=samples)
    writer.append("goodput", useful_seconds=7.0)
    world.finish()
    told = [event.data["samples"] for event in world.service.events(job) if event.kind == "checkpoint"]
    assert told == list(range(47))
    goodput = world.job(job).goodput
    assert goodput is not None
    assert goodput.useful_seconds == 7.0


def test_a_first_view_that_another_worker_than_the_first_leads_is_told(world: World) -> None:
    job = world.train("start", "wait", "wait", "wait")
    world.step(2)
    members = [{"number": 3, "pid": 1, "host": "h"}]
    writer = EventWriter(world.run_directory(job), "agent-1", 1)
    writer.append("resized", world_size=1, epoch=1, cause="start", members=members)
    world.step()
    told = [event.data["members"] for event in world.service.events(job) if event.kind == "resized"]
    assert told == [members]


def test_progress_is_the_newest_word_of_whichever_worker_leads(world: World) -> None:
    job = world.train("start", "wait", "wait", "wait")
    world.step(2)
    directory = world.run_directory(job)
    EventWriter(directory, "rank-1", 1).append("progress", done=3.0, total=10.0)
    EventWriter(directory, "rank-0", 1).append("progress", done=4.0, total=10.0)
    world.step()
    progress = world.job(job).progress
    assert progress is not None
    assert progress.done == 4.0


def test_a_job_whose_runs_say_nothing_has_no_goodput(world: World) -> None:
    job = world.submit("start", "succeed")
    world.finish()
    assert world.job(job).goodput is None


def test_a_word_that_is_no_goodput_is_passed_over(world: World) -> None:
    job = world.train("start", "goodput:5/0/1", "wait", "wait")
    world.step(3)
    EventWriter(world.run_directory(job), "rank-7", 1).append("goodput", useful_seconds="much")
    world.step()
    goodput = world.job(job).goodput
    assert goodput is not None
    assert goodput.useful_seconds == 5


def test_what_the_engine_counts_is_told_in_the_history(world: World) -> None:
    job = world.train("start", "wait", "wait", "wait")
    world.step(2)
    writer = EventWriter(world.run_directory(job), "rank-0", 1)
    writer.append("out_of_memory", step=7, answer="activations are computed twice from here on")
    writer.append("rolled_back", samples=64_000, lost_samples=192, lost_steps=3)
    writer.append("checkpoint_failed", samples=64, reason="the disk is full")
    writer.append("checkpoint_passed_over", reason="samples-640 is damaged")
    world.step()
    assert [event.message for event in world.service.events(job)][-4:] == [
        "out of memory in step 7: activations are computed twice from here on",
        "back to the checkpoint at 64,000 samples; 3 steps lost, to be done again",
        "no checkpoint at 64 samples: the disk is full",
        "a checkpoint was passed over: samples-640 is damaged",
    ]


def test_what_going_back_has_cost_is_told_where_it_has_cost_anything(world: World) -> None:
    job = world.train("start", "wait", "wait", "wait")
    world.step(2)
    writer = EventWriter(world.run_directory(job), "rank-0", 1)
    writer.append("rolled_back", samples=640, lost_samples=0, lost_steps=0)
    writer.append("rolled_back", samples=64, lost_samples=16, lost_steps=0)
    world.step()
    told = [event.message for event in world.service.events(job) if event.kind == "rolled_back"]
    assert told == ["back to the checkpoint at 64 samples; 16 samples lost, to be done again"]


def test_steps_that_are_left_out_are_told_together(world: World) -> None:
    job = world.train("start", "wait", "wait", "wait")
    world.step(2)
    writer = EventWriter(world.run_directory(job), "rank-0", 1)
    for step in range(50):
        writer.append("step_skipped", step=step, epoch=1, reason="overflow", loss=1.5)
    world.step()
    told = [event for event in world.service.events(job) if event.kind == "step_skipped"]
    assert [event.message for event in told] == ["50 steps left out, the last one is 49: overflow"]
    assert told[0].data["count"] == 50
