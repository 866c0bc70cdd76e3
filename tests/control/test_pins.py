"""A width that a person chose stays with the job: whatever stops its run, the next one has it too."""

from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.base.errors import Conflict, UsageError
from orchestrator.testing.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    elastic = {"between": 1, "price": 0.1, "shrink": "never"}
    policy = {"preset": "priority", "round": 1, "preemption": {"min_run": 1}, "elastic": elastic}
    return World(tmp_path, slots=4, profile={"policy": policy})


def preempted(world: World) -> str:
    """A job whose width was chosen, waiting while another one runs."""
    job = world.train("start", *["follow"] * 120, "succeed", workers="1..4")
    world.step(10)
    world.service.resize(job, 2)
    world.step(10)
    world.submit("start", *["wait"] * 6, "succeed", priority=50, resources={"workers": 4})
    world.step(4)
    assert world.state(job) == "queued"
    return job


def test_a_job_that_was_preempted_goes_on_with_the_width_that_a_person_chose(world: World) -> None:
    job = preempted(world)
    assert world.job(job).pinned
    world.restart()
    world.step(30)
    view = world.job(job)
    assert (view.state, view.pinned) == ("running", True)
    assert [(run.world_size, run.wanted) for run in view.runs] == [(2, 2), (2, 2)]


def test_a_job_that_waits_can_be_handed_back_to_the_policy(world: World) -> None:
    job = preempted(world)
    assert not world.service.resize(job, None).pinned
    world.step(30)
    view = world.job(job)
    assert (view.state, view.pinned, view.runs[-1].world_size) == ("running", False, 4)


def test_what_cannot_be_resized_is_not_handed_back_either(world: World) -> None:
    job = world.submit("start", "wait", "succeed", resources={"workers": "1..4"})
    world.step(3)
    with pytest.raises(UsageError, match="is a command: it keeps the workers"):
        world.service.resize(job, None)


def test_who_handed_a_width_back_is_in_the_history_once(world: World) -> None:
    job = preempted(world)
    for _ in range(2):
        with suppress(Conflict):
            world.service.resize(job, None, "ann")
    said = [event.message for event in world.service.events(job) if event.kind == "width"]
    assert said == ["its width was handed back to the policy by ann"]


def test_a_job_that_waits_without_such_a_width_has_none_to_give_back(world: World) -> None:
    job = world.train("start", "succeed", workers="1..4")
    with pytest.raises(Conflict, match="is queued"):
        world.service.resize(job, None)
