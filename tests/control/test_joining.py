"""What goes wrong with one run's growth is not the others', and one pass asks the store for all of them at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from queueing_kit import FOLLOWS, damage, damage_run, growth_of, passes, queueing, run_of
from sqlalchemy import Engine, event

from orchestrator.lifecycle.states import GrowthState, JobState
from orchestrator.store import allocations, tables
from orchestrator.store.records import GrowthRecord
from orchestrator.testing.world import World

SIX = {"epochs": 2, "batch_size": 96, "samples_per_virtual_worker": 16}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return queueing(tmp_path)


def begins(world: World, times: int = 1) -> list[str]:
    """Trainings that run on the workers that they began with, before they have grown."""
    jobs = [world.train(*FOLLOWS, workers="2..6", train=SIX) for _ in range(times)]
    world.step()
    world.backend.begin_all()
    world.backend.tick()
    return jobs


def states(world: World, job: str) -> list[str]:
    return [str(one.state) for one in growth_of(world, job)]


def test_a_launch_that_cannot_be_read_is_its_own_runs_trouble(world: World) -> None:
    bad, good = begins(world, 2)
    launch = world.run_directory(bad).launch
    text = launch.read_text()
    launch.write_text("{")
    world.controller.step()
    assert (states(world, bad), states(world, good)) == (["created"] * 2, ["launched"] * 2)
    assert world.job(bad).reason.startswith("in trouble, tried again")
    asked = world.backend.calls.count("launch")
    world.step(3)
    assert world.backend.calls.count("launch") == asked
    assert world.job(bad).reason.startswith("in trouble")
    launch.write_text(text)
    world.step(20)
    assert states(world, bad) == ["launched"] * 2
    assert world.job(bad).reason == f"runs on 2 of up to 6 workers ({bad}-r1)"


def test_an_engine_that_does_not_answer_is_left_alone_for_all_runs(world: World) -> None:
    jobs = begins(world, 2)
    world.backend.answers_to_lose = 99
    world.controller.step()
    asked = world.backend.calls.count("launch")
    world.backend.answers_to_lose = 0
    world.controller.step()
    assert world.backend.calls.count("launch") == asked
    world.step(12)
    assert [states(world, job) for job in jobs] == [["launched"] * 2] * 2


def test_growth_of_a_run_that_cannot_be_read_is_told_and_released_once_its_job_is_over(world: World) -> None:
    (job,) = begins(world)
    passes(world, 6)
    damage_run(world, job, goodput="{")
    world.backend.set_state(f"{job}-r1.100", "ended", "preempted")
    world.step(2)
    assert world.job(job).reason.startswith("in trouble")
    assert [one.state for one in kept(world, job)] == [GrowthState.ENDED, GrowthState.RUNNING]
    with world.store.write() as connection:
        connection.execute(tables.jobs.update().values(state=str(JobState.FAILED)))
    passes(world, 50)
    assert [one.state for one in kept(world, job)] == [GrowthState.ENDED] * 2


def test_growth_of_a_job_that_cannot_be_read_goes_on(world: World) -> None:
    (job,) = begins(world)
    passes(world, 6)
    damage(world, job)
    world.backend.set_state(f"{job}-r1.100", "ended", "preempted")
    world.step(20)
    assert [one.state for one in kept(world, job)] == [GrowthState.ENDED, GrowthState.RUNNING]
    with world.store.read() as connection:
        kinds = [row.job for row in connection.execute(tables.events.select())]
    assert set(kinds) == {job}


def kept(world: World, job: str) -> list[GrowthRecord]:
    with world.store.read() as connection:
        return allocations.of_runs(connection, [f"{job}-r1"])[f"{job}-r1"]


@pytest.mark.parametrize("narrow", ["a", "b"])
def test_growth_is_as_wide_as_the_nodes_hold_on_which_it_may_lie(world: World, narrow: str) -> None:
    for name, node in world.backend.nodes.items():
        world.backend.nodes[name] = replace(node, slots=1 if name == narrow else 4, grows=name == narrow)
    (job,) = begins(world)
    world.controller.step()
    assert [one.workers for one in growth_of(world, job)] == [1, 1]


@contextmanager
def statements() -> Iterator[list[str]]:
    """What the store is asked."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_a_pass_asks_the_store_no_more_often_for_many_growing_runs(tmp_path: Path) -> None:
    counts = []
    for runs in (2, 12):
        slots = {f"n{number}": 2 for number in range(runs + 1)}
        growth = {"partition": "spare", "least": 0, "at_once": 1}
        world = World(tmp_path / str(runs), slots=slots, queues=True, profile={"slurm": {"growth": growth}})
        jobs = begins(world, runs)
        passes(world, 4)
        for job in jobs:
            world.backend.set_state(f"{job}-r1.100", "ended", "preempted")
        world.step(2)
        assert {states(world, job)[0] for job in jobs} == {"ended"}
        assert run_of(world, jobs[-1]).world_size < 6
        with statements() as asked:
            world.controller.step()
        counts.append(sum("allocations" in statement or "works" in statement for statement in asked))
    assert counts[0] == counts[1]
    assert counts[0] <= 10
