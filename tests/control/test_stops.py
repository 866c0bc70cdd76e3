"""Orders to end allocations that the engine does not take hold nobody else up."""

import threading
from pathlib import Path

import pytest
from queueing_kit import passes, queueing, wish

from orchestrator.base.errors import BackendUnavailable, Busy
from orchestrator.testing.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return queueing(tmp_path)


def test_while_a_stop_is_not_answered_the_others_start_and_nothing_is_unknown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, goes_on = [world.submit("start", *["wait"] * 300, "succeed") for _ in range(2)], world.submit("start", "wait")
    passes(world, 2)
    asked = list[float]()

    def silent(allocation: str, *, grace_seconds: float) -> None:
        asked.append(world.clock.now())
        raise BackendUnavailable("scancel timed out", hint="wait")

    with monkeypatch.context() as patch:
        patch.setattr(world.backend, "stop", silent)
        for job in runs:
            world.service.cancel(job)
        good = world.submit("start", "succeed")
        world.step(100)
        assert f"{good}-r1.0" in world.backend.allocations()
        assert len(asked) <= 10
        assert len(set(asked)) == len(asked)
        assert "scancel timed out" in world.job(runs[0]).reason
        assert world.job(goes_on).reason.startswith("runs on")
    world.step(140)
    assert [world.state(job) for job in runs] == ["cancelled", "cancelled"]


def test_a_stop_of_what_is_just_being_handed_over_holds_no_other_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, other = (world.submit("start", *["wait"] * 300, "succeed") for _ in range(2))
    passes(world, 2)
    stop = world.backend.stop

    def stop_others(allocation: str, *, grace_seconds: float) -> None:
        if allocation.startswith(f"{busy}-"):
            raise Busy(f"{allocation} is just being handed over", hint="wait")
        stop(allocation, grace_seconds=grace_seconds)

    with monkeypatch.context() as patch:
        patch.setattr(world.backend, "stop", stop_others)
        for job in (busy, other):
            world.service.cancel(job)
        world.step(4)
        assert world.state(other) == "cancelled"
        assert "just being handed over" in world.job(busy).reason
    world.step(140)
    assert world.state(busy) == "cancelled"


def test_a_run_is_told_to_stop_by_its_files_also_while_the_engine_takes_no_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [world.submit("start", "always:wait") for _ in range(2)]
    passes(world, 2)

    def silent(allocation: str, *, grace_seconds: float) -> None:
        raise BackendUnavailable("scancel timed out", hint="wait")

    monkeypatch.setattr(world.backend, "stop", silent)
    for job in jobs:
        world.service.cancel(job)
        world.controller.step()
    assert [wish(world, job).want for job in jobs] == ["stop", "stop"]


def test_many_cancels_are_ordered_a_few_at_a_time_and_so_many_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = queueing(tmp_path)
    jobs = [world.submit("start", "always:wait") for _ in range(70)]
    passes(world, 2)
    for job in jobs:
        world.service.cancel(job)
    stop, lock, busy, most, asked = world.backend.stop, threading.Lock(), [0], [0], list[str]()

    def slow(allocation: str, *, grace_seconds: float) -> None:
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
            asked.append(allocation)
        meet.wait(0.01)
        with lock:
            busy[0] -= 1
            stop(allocation, grace_seconds=grace_seconds)

    meet = threading.Event()
    monkeypatch.setattr(world.backend, "stop", slow)
    due = world.controller.step()
    assert (len(asked), most[0], due < 0.1) == (32, 4, True)
    for _ in range(2):
        due = world.controller.step()
    assert sorted(asked) == sorted(f"{job}-r1.0" for job in jobs)
    assert due > 0.1


def test_an_order_that_went_wrong_for_another_reason_is_told_and_given_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = [world.submit("start", "always:wait") for _ in range(2)]
    passes(world, 2)
    stop = world.backend.stop

    def stumbles(allocation: str, *, grace_seconds: float) -> None:
        if allocation.startswith(bad):
            raise OSError("no process can be started")
        stop(allocation, grace_seconds=grace_seconds)

    with monkeypatch.context() as patch:
        patch.setattr(world.backend, "stop", stumbles)
        for job in (bad, good):
            world.service.cancel(job)
        passes(world, 4)
        assert "no process can be started" in world.job(bad).reason
        assert world.state(good) == "cancelled"
    passes(world, 10)
    assert world.state(bad) == "cancelled"
