"""Who has the places that our allocations may have in an engine's own queue: runs first, then growth."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_queue_kit import Desk
from queueing_kit import FOLLOWS, growth_of, queueing, run_of, said

from orchestrator.backends.protocol import AllocationState, Observation
from orchestrator.lifecycle.states import GrowthState
from orchestrator.testing.world import World

SIX = {"epochs": 2, "batch_size": 96, "samples_per_virtual_worker": 16}
ARRAY = {
    "model": {"family": "regnetx", "stem": "cifar", "stem_width": 16},
    "search": {
        "trials": 24,
        "engine": "array",
        "space": {"depth": "4..12", "w0": "16..64", "wa": "8..64", "wm": "2..3", "group_width": "8..32"},
    },
}


def pending(world: World) -> list[str]:
    """What waits in the engine."""
    return sorted(name for name, one in world.backend.allocations().items() if one.state == "pending")


def bases_begin(world: World, times: int) -> None:
    """So many passes in which only what runs begin with finds room."""
    for _ in range(times):
        world.controller.step()
        for name in pending(world):
            if name.endswith(".0"):
                world.backend.begin(name)
        world.backend.tick()
        world.clock.advance(0.5)


def test_growth_that_waits_gives_its_place_to_a_run(tmp_path: Path) -> None:
    world = queueing(tmp_path, slurm={"waiting": 3})
    first, second = (world.train(*FOLLOWS, workers="2..6", train=SIX) for _ in range(2))
    bases_begin(world, 8)
    assert pending(world) == [f"{first}-r1.100", f"{first}-r1.101", f"{second}-r1.100"]
    new = world.submit("start", "always:wait")
    world.step(4)
    assert world.state(new) == "starting"
    assert pending(world) == [f"{first}-r1.100", f"{first}-r1.101", f"{new}-r1.0"]
    assert [str(one.state) for one in growth_of(world, second)] == ["ended"]
    assert not any("is over" in text for text in said(world, second, "growth"))
    world.step(10)
    assert len(pending(world)) == 3
    world.service.cancel(new)
    world.step(8)
    assert pending(world)[2:] == [f"{second}-r1.101"]


def test_growth_that_runs_is_not_called_off_for_a_run(tmp_path: Path) -> None:
    world = queueing(tmp_path, slurm={"waiting": 1})
    job = world.train(*FOLLOWS, workers="2..6", train=SIX)
    bases_begin(world, 4)
    world.backend.begin(f"{job}-r1.100")
    new = [world.submit("start", "always:wait") for _ in range(3)]
    world.step(20)
    assert [world.state(one) for one in new] == ["starting", "queued", "queued"]
    assert run_of(world, job).world_size == 4
    assert growth_of(world, job)[0].state is GrowthState.RUNNING
    assert pending(world) == [f"{new[0]}-r1.0"]


def test_each_task_of_an_array_has_a_place_of_its_own(tmp_path: Path) -> None:
    world = queueing(tmp_path, slurm={"waiting": 5})
    low = world.submit("start", "always:wait")
    array, other = (world.train("start", "always:wait", workers=text, **ARRAY) for text in ("4", "1..3"))
    last = world.submit("start", "always:wait")
    world.step(10)
    assert [world.state(job) for job in (low, array, other, last)] == ["starting", "starting", "queued", "queued"]
    world.backend.begin(f"{low}-r1.0")
    world.step(4)
    assert [world.state(job) for job in (other, last)] == ["queued", "queued"]
    world.service.cancel(array)
    world.step(6)
    assert [world.state(job) for job in (other, last)] == ["starting", "starting"]


def test_an_array_with_more_tasks_than_there_are_places_waits_until_it_has_all_of_them(tmp_path: Path) -> None:
    world = queueing(tmp_path, slurm={"waiting": 2})
    first = world.submit("start", "always:wait")
    array = world.train("start", "always:wait", workers="1..4", **ARRAY)
    world.step(4)
    assert [world.state(job) for job in (first, array)] == ["starting", "queued"]
    world.backend.begin(f"{first}-r1.0")
    world.step(4)
    assert world.state(array) == "starting"


def test_tasks_that_wait_count_once_an_array_has_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = queueing(tmp_path, slurm={"waiting": 4})
    array = world.train("start", "always:wait", workers="4", **ARRAY)
    world.step(2)
    world.backend.begin(f"{array}-r1.0")
    monkeypatch.setattr(world.backend, "observe", with_tasks(world.backend.observe, f"{array}-r1.0", 3))
    world.step(4)
    jobs = [world.submit("start", "always:wait") for _ in range(2)]
    world.step(4)
    assert [world.state(job) for job in (array, *jobs)] == ["running", "starting", "queued"]


def with_tasks(observe: Callable[..., Any], array: str, tasks: int) -> Callable[..., Any]:
    """An engine of which one array has begun, and has so many tasks left."""

    def seen(allocations: Any) -> Any:
        begun = Observation(AllocationState.RUNNING, tasks=tasks)
        return {name: begun if name == array else one for name, one in observe(allocations).items()}

    return seen


def test_why_and_the_quota_count_the_same(tmp_path: Path) -> None:
    desk = Desk.at(tmp_path, slurm={"waiting": 5})
    array, other = (desk.world.train("start", workers="4", **ARRAY) for _ in range(2))
    desk.hand_over(array)
    last = desk.world.submit()
    for place, job in enumerate((other, last), 1):
        reason = desk.questions.why(job).reason
        assert "(4; slurm.waiting is 5, and the next to follow is an array, of which each task counts); " in reason
        assert f"; it is number {place} of those that follow" in reason
    desk.world.service.cancel(other)
    desk.questions.forget()
    assert desk.questions.why(last).kind == "starts"
