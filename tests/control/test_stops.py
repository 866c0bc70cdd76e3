"""Orders to end allocations that the engine does not take hold nobody else up."""

from pathlib import Path

import pytest
from queueing_kit import passes, queueing

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
