"""SIGKILL of the server before and after every commit and every engine call of a preemption, and of a shrink."""

from functools import partial
from pathlib import Path

import pytest
from crash_kit import Check, Life, Probes, survive, until_it_is_claimed_for, until_it_runs

from orchestrator.base.clock import RandomIds
from orchestrator.spec.messages import JobView
from orchestrator.testing.world import World

POLICY = {
    "preset": "priority",
    "round": 0.1,
    "preemption": {"min_run": 0},
    "elastic": {"between": 0, "grow": "never"},
}
BEGIN = "before commit make room"


def opened(root: Path, probes: Probes, slots: int | dict[str, int] = 4) -> World:
    return World(root, slots=slots, probe=probes, ids=RandomIds(), profile={"policy": POLICY})


def submit_low(world: World, name: str = "low", workers: int = 4) -> str:
    job = world.submit("start", *["wait"] * 14, "succeed", key=name, name=name, resources={"workers": workers})
    until_it_runs(world, job)
    return job


def submit_high(world: World, workers: int = 4) -> str:
    return world.submit(
        "start", "wait", "succeed", key="high", name="high", priority=50, resources={"workers": workers}
    )


def finished(world: World) -> World:
    world.finish()
    world.step(2)
    return world


def preempting(root: Path, probes: Probes) -> World:
    """One life of the server: a job with a higher priority is submitted (again) while another one runs."""
    world = opened(root, probes)
    submit_low(world)
    submit_high(world)
    return finished(world)


def shrinking(root: Path, probes: Probes) -> World:
    """The same with a job that gives half of its workers up."""
    world = opened(root, probes)
    low = world.train("start", *["follow"] * 10, "succeed", workers="1..4", key="low", name="low")
    until_it_runs(world, low)
    world.submit("start", "wait", "succeed", key="high", name="high", resources={"workers": 2})
    return finished(world)


def cancelling(root: Path, probes: Probes) -> World:
    """The same as the first; the job that slots are being freed for is cancelled before it gets them."""
    world = opened(root, probes)
    submit_low(world)
    high = submit_high(world)
    until_it_is_claimed_for(world, high)
    world.service.cancel(high)
    return finished(world)


def draining(root: Path, probes: Probes) -> World:
    """Of two nodes somebody drains (again) the one where slots are being freed, before anything starts there."""
    world = opened(root, probes, {"a": 2, "b": 2})
    submit_low(world, "low", 2)
    submit_low(world, "low2", 2)
    high = submit_high(world, 2)
    intent = root / "drain"
    if not intent.exists():
        until_it_is_claimed_for(world, high)
        intent.write_text((world.record(high).claim or (("", 0),))[0][0])
    world.service.drain(intent.read_text(), "bad fan", "ann")
    return finished(world)


def check(world: World) -> dict[str, JobView]:
    """Each allocation was started once, nothing failed, nothing is claimed or held any more; the jobs by name."""
    found = {job.name: job for job in world.service.list()}
    allocations = world.backend.allocations()
    assert set(allocations) == {f"{run.id}.0" for job in found.values() for run in job.runs}
    assert {allocation.starts for allocation in allocations.values()} == {1}
    assert world.backend.capacity().free == 4
    assert all(job.failures == {} for job in found.values())
    assert {world.record(job.id).claim for job in found.values()} == {None}
    return found


def ended(world: World) -> dict[str, list[str]]:
    """How each job ended, and before that its runs; a preemption is one that was stopped."""
    found = check(world)
    assert all(job.preemptions == [run.state for run in job.runs].count("stopped") for job in found.values())
    return {name: [*(run.state for run in job.runs), job.state] for name, job in found.items()}


def made_room(world: World, low: list[str], resizes: int) -> None:
    """Room was made once, and used."""
    assert ended(world) == {"low": low, "high": ["succeeded", "succeeded"]}
    assert world.moves(world.service.resolve("low")).count("resizing") == resizes
    world.store.close()


def freed_for_nobody(world: World) -> None:
    """The slots went back to whom they came from."""
    assert ended(world) == {"low": ["stopped", "succeeded", "succeeded"], "high": ["cancelled"]}
    world.store.close()


def freed_elsewhere(world: World) -> None:
    """The job runs on the other node, where room was made for it as well; nothing has started on the drained one."""
    again = ["stopped", "succeeded", "succeeded"]
    assert ended(world) == {"low": again, "low2": again, "high": ["succeeded", "succeeded"]}
    drained = (world.root / "drain").read_text()
    starts = [allocation.placement[0][0] for allocation in world.backend.allocations().values()]
    assert (drained in {"a", "b"}, starts.count(drained), len(starts)) == (True, 1, 5)
    world.store.close()


@pytest.mark.parametrize(
    ("life", "then"),
    [
        (preempting, partial(made_room, low=["stopped", "succeeded", "succeeded"], resizes=0)),
        (shrinking, partial(made_room, low=["succeeded", "succeeded"], resizes=1)),
        (cancelling, freed_for_nobody),
        (draining, freed_elsewhere),
    ],
)
def test_a_server_killed_while_it_makes_room_makes_it_once(
    template: Path, tmp_path: Path, life: Life, then: Check
) -> None:
    names = survive(life, then, template, tmp_path, begin=BEGIN)
    assert BEGIN.replace("before", "after") in names
