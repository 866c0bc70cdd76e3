"""A width that a person chose stays with the job: whatever stops its run, the next one has it too."""

from pathlib import Path

import pytest

from orchestrator.base.errors import Conflict
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


def test_a_job_that_waits_without_such_a_width_has_none_to_give_back(world: World) -> None:
    job = world.train("start", "succeed", workers="1..4")
    with pytest.raises(Conflict, match="is queued"):
        world.service.resize(job, None)
