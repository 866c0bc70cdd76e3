"""What people are told about preemptions and drains."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.control.questions import Questions
from orchestrator.store import jobs, nodes
from orchestrator.testing.world import World


def test_draining_again_changes_neither_who_drained_it_nor_since_when(tmp_path: Path) -> None:
    world = World(tmp_path, slots={"a": 2})
    world.service.drain("a", "bad fan", "ann")
    with world.store.read() as connection:
        first = nodes.all(connection)["a"]
    world.clock.advance(1000)
    world.service.drain("a", "", "bob")
    world.service.drain("a", "two bad fans", "bob")
    with world.store.read() as connection:
        assert nodes.all(connection)["a"] == replace(first, note="two bad fans")


def test_a_training_that_was_preempted_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    world = World(tmp_path, slots=4, profile={"policy": {"preset": "priority", "preemption": {"min_run": 1}}})
    low = world.train("start", *["follow"] * 100, "succeed", workers="4")
    world.step(20)
    world.submit("start", "wait", "succeed", priority=50, resources={"workers": 4})
    world.step(4)
    assert "goes on from its newest checkpoint when its turn comes" in world.job(low).reason


def test_a_team_that_takes_its_quota_back_is_named(tmp_path: Path) -> None:
    teams = [{"name": "vision", "quota": 2}, {"name": "video"}]
    policy = {"preset": "fair", "preemption": {"for_whom": "quota", "min_run": 1}}
    world = World(tmp_path, slots=4, profile={"policy": policy, "teams": teams})
    low = [world.submit("start", *["wait"] * 60, "succeed", team="video", resources={"workers": 2}) for _ in range(2)]
    world.step(10)
    high = world.submit("start", "wait", "succeed", team="vision", resources={"workers": 2})
    world.controller.step()
    asked = [world.job(job).reason for job in low if "asked to stop" in world.job(job).reason]
    assert asked == [f"asked to stop for {high}: team vision takes its quota back"]


def asked(world: World, job: str) -> str:
    """What the queue says of a job that runs, once a pass has been made."""
    world.controller.step()
    (line,) = [line for line in Questions(world.service.site).queue().running if line.job == job]
    return line.reason


def waiting_for_long(world: World, **document: Any) -> str:
    job = world.submit("start", *["wait"] * 60, "succeed", resources={"workers": 2}, **document)
    with world.store.write() as connection:
        jobs.set_columns(connection, jobs.get(connection, job), estimate={"seconds": 1.0, "error": 0.2})
    world.step(3)
    return job


def test_the_queue_says_that_a_run_stops_for_maintenance(tmp_path: Path) -> None:
    window = {"nodes": ["a"], "start": 1_000_000_005.0, "end": 1_000_001_000.0, "why": "new fans"}
    world = World(tmp_path, slots={"a": 2}, profile={"maintenance": [window]})
    job = waiting_for_long(world)
    assert asked(world, job) == ""
    world.clock.advance(5)
    assert asked(world, job) == "asked to stop: maintenance of a (new fans) begins"


def test_the_queue_says_for_whom_a_run_stops(tmp_path: Path) -> None:
    world = World(tmp_path, slots={"a": 2}, profile={"policy": {"preset": "priority", "preemption": {"min_run": 1}}})
    low = waiting_for_long(world)
    high = world.submit(priority=50, resources={"workers": 2})
    assert asked(world, low).startswith(f"asked to stop for {high}: ")


def test_the_queue_says_who_has_a_run_stopped(tmp_path: Path) -> None:
    world = World(tmp_path, slots={"a": 2, "b": 2})
    first, second = waiting_for_long(world), waiting_for_long(world)
    world.service.evict("a", "ann")
    world.service.cancel(second)
    said = sorted(asked(world, job) for job in (first, second))
    assert said == ["asked to stop: ann empties node a", "cancelled by somebody; waits until its slots are free"]


def test_the_queue_says_that_a_run_is_over_its_time_limit(tmp_path: Path) -> None:
    world = World(tmp_path, slots={"a": 2})
    job = waiting_for_long(world, time_limit=5)
    world.clock.advance(6)
    assert asked(world, job) == "runs longer than its time limit of 5 s; asked to stop"
