"""What people change of jobs that wait in an engine's own queue reaches it, whatever is wrong with some of them."""

from pathlib import Path

import pytest
from queueing_kit import FOLLOWS, damage, passes, queueing, said

from orchestrator.backends.protocol import Standing
from orchestrator.base.errors import BackendUnavailable
from orchestrator.testing.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return queueing(tmp_path)


def test_a_held_job_whose_row_is_damaged_while_it_waits_there_stops_nobody_else(world: World) -> None:
    bad, moved = world.submit("start", "succeed"), world.submit("start", "succeed")
    world.step()
    world.service.hold(bad)
    world.service.set_priority(moved, 3)
    damage(world, bad)
    good = world.submit("start", "succeed")
    world.controller.step()
    allocations = world.backend.allocations()
    assert (allocations[f"{moved}-r1.0"].priority, f"{good}-r1.0" in allocations) == (3, True)


def test_a_job_that_cannot_be_moved_there_stops_nobody_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, moved = world.submit("start", "succeed"), world.submit("start", "succeed")
    world.step()
    adjust = world.backend.adjust

    def full(allocation: str, standing: Standing) -> None:
        if allocation.startswith(bad):
            raise OSError("no space left")
        adjust(allocation, standing)

    monkeypatch.setattr(world.backend, "adjust", full)
    for job in (bad, moved):
        world.service.set_priority(job, 3)
    good = world.submit("start", "succeed")
    world.controller.step()
    allocations = world.backend.allocations()
    assert (allocations[f"{moved}-r1.0"].priority, f"{good}-r1.0" in allocations) == (3, True)
    assert "no space left" in world.job(bad).reason
    monkeypatch.undo()
    world.step()
    assert world.job(bad).reason == f"{bad}-r1 is being started on 1 worker"


def test_while_orders_are_not_answered_what_waits_is_handed_over_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved, asked = world.submit("start", "succeed"), list[float]()
    world.step()

    def silent(allocation: str, standing: Standing) -> None:
        asked.append(world.clock.now())
        raise BackendUnavailable("timed out", hint="wait")

    monkeypatch.setattr(world.backend, "adjust", silent)
    world.service.set_priority(moved, 3)
    good = world.submit("start", "succeed")
    world.step(120)
    assert f"{good}-r1.0" in world.backend.allocations()
    assert len(asked) <= 7
    assert world.job(moved).reason.startswith(f"{moved}-r1 was handed to Simulated")


def test_a_hold_does_not_wait_for_changes_of_priority(world: World) -> None:
    jobs = [world.submit("start", "succeed") for _ in range(40)]
    world.step()
    for job in jobs[:-1]:
        world.service.set_priority(job, -3)
    world.service.hold(jobs[-1])
    world.step()
    assert world.backend.allocations()[f"{jobs[-1]}-r1.0"].held
    assert world.backend.calls.count("adjust") < len(jobs)


def test_many_that_move_are_told_to_the_engine_a_few_at_a_time(world: World) -> None:
    jobs = [world.submit("start", "succeed") for _ in range(20)]
    world.step()
    for job in jobs:
        world.service.set_priority(job, 1)
    told = list[int]()
    for _ in range(4):
        before = world.backend.calls.count("adjust")
        world.step()
        told.append(world.backend.calls.count("adjust") - before)
    assert told == [8, 2, 2, 2]
    world.step(4)
    assert {one.priority for one in world.backend.allocations().values()} == {1}


def test_what_the_engine_refuses_to_change_is_in_the_jobs_history_once(world: World) -> None:
    job = world.submit("start", "succeed")
    world.step()
    world.backend.refusal = "Invalid qos specification"
    world.service.set_priority(job, 3)
    world.step(5)
    assert said(world, job, "refused") == [f"{job}-r1 in Simulated: Invalid qos specification"]


def test_what_waits_to_join_a_run_moves_with_its_job_also_under_a_new_server(tmp_path: Path) -> None:
    world = queueing(tmp_path, growth={"at_once": 1})
    job = world.train(*FOLLOWS, workers="2..6", train={"epochs": 2, "batch_size": 96, "samples_per_virtual_worker": 16})
    passes(world)
    world.step(4)
    waits = f"{job}-r1.100"

    def priority() -> int:
        allocation = world.backend.allocations()[waits]
        assert allocation.state == "pending"
        return allocation.priority

    world.service.set_priority(job, 3)
    world.step()
    assert priority() == 3
    told = world.backend.calls.count("adjust")
    world.step(5)
    assert world.backend.calls.count("adjust") == told
    world.service.set_priority(job, -2)
    world.restart()
    world.step()
    assert priority() == -2
