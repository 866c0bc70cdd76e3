"""Nodes in a live cluster: whole ones, drained ones, maintenance, and slots that are not ours or not there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from live_policy_kit import command, spare, training, widths, world_of

from orchestrator.backends.protocol import NodeFacts
from orchestrator.control.questions import Questions
from orchestrator.control.snapshot import current_snapshot
from orchestrator.store import jobs, nodes
from orchestrator.testing.world import World

pytestmark = pytest.mark.usefixtures("held_decisions")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return world_of(tmp_path)


def test_a_gang_lies_on_one_node_and_a_larger_one_on_whole_nodes(tmp_path: Path) -> None:
    world = world_of(tmp_path, {"a": 2, "b": 2, "c": 2})
    small = [command(world, 1), command(world, 1)]
    large = command(world, 4)
    world.step(3)
    placed = {job: world.backend.allocations()[f"{job}-r1.0"].placement for job in (*small, large)}
    assert {placed[job] for job in small} == {(("a", 1),)}
    assert placed[large] == (("b", 2), ("c", 2))
    spare(world)


def test_a_workload_says_where_its_workers_may_not_lie(tmp_path: Path) -> None:
    world = world_of(tmp_path, {"a": 2, "b": 2})
    job = world.submit("start", "succeed", resources={"workers": 1, "not_on": ["a"]})
    world.step(2)
    assert world.backend.allocations()[f"{job}-r1.0"].placement == (("b", 1),)


def test_nothing_new_starts_on_a_drained_node_and_what_runs_there_goes_on(tmp_path: Path) -> None:
    world = world_of(tmp_path, {"a": 2, "b": 2})
    first = command(world, 2, 10)
    world.step(2)
    world.service.drain("a", "bad fan", "ann")
    second, third = command(world, 2, 10), command(world, 2, 3)
    world.step(12)
    assert (world.state(first), world.state(second), world.state(third)) == ("succeeded", "running", "queued")
    (drained,) = [node for node in current_snapshot(world.service.site).nodes if node.state == "drained"]
    assert (drained.name, drained.note) == ("a", "drained by ann: bad fan")
    world.service.resume("a", "ann")
    world.step(2)
    assert world.state(third) in {"starting", "running"}


def test_nobody_is_told_to_resume_a_node_that_its_engine_has_drained(tmp_path: Path) -> None:
    world = world_of(tmp_path, {"a": 2, "b": 1})
    world.backend.nodes["a"] = replace(world.backend.nodes["a"], drained=True, note="drained by Ray")
    job = command(world, 2, 3)
    world.step(3)
    assert world.state(job) == "queued"
    found = Questions(world.service.site).why(job)
    assert found.reason.endswith("a is drained (drained by Ray)")
    remedies = {one.text: one.command for one in found.remedies}
    assert remedies["bring a up again"] == ""
    assert not any("resume" in command for command in remedies.values())
    world.backend.nodes["a"] = replace(world.backend.nodes["a"], drained=False, note="")
    world.step(3)
    assert world.state(job) in {"starting", "running"}


def test_a_drain_outlives_the_server(tmp_path: Path) -> None:
    world = world_of(tmp_path, {"a": 2})
    world.service.drain("a", "", "ann")
    world.restart()
    job = command(world, 1, 3)
    world.step(3)
    assert world.state(job) == "queued"
    with world.store.read() as connection:
        assert nodes.all(connection)["a"].by == "ann"


def test_a_claim_on_a_node_that_is_drained_is_given_up(tmp_path: Path) -> None:
    world = world_of(tmp_path, {"a": 2, "b": 2})
    low = [command(world, 2), command(world, 2)]
    world.step(20)
    high = command(world, 2, 5, priority=50)
    world.controller.step()
    node = (world.record(high).claim or (("", 0),))[0][0]
    world.service.drain(node, "", "ann")
    world.step(20)
    assert world.state(high) in {"running", "succeeded"}
    allocation = world.backend.allocations()[f"{high}-r1.0"]
    assert allocation.placement[0][0] != node
    assert sum(world.job(job).preemptions for job in low) == 2


def test_nothing_runs_into_a_maintenance(tmp_path: Path) -> None:
    now = 1_000_000_000.0
    window = {"nodes": ["localhost"], "start": now + 100, "end": now + 200}
    world = world_of(tmp_path, maintenance=[window])
    long, short = command(world, 1, 3, time_limit="10m"), command(world, 1, 3, time_limit="50s")
    world.step(4)
    assert (world.state(long), world.state(short)) == ("queued", "running")
    world.clock.advance(250)
    world.step(2)
    assert world.state(long) in {"starting", "running"}


def new_fans(node: str, after: float) -> dict[str, Any]:
    """Maintenance of a node that begins so many seconds after the start of the world."""
    begins = 1_000_000_000.0 + after
    return {"nodes": [node], "start": begins, "end": begins + 1000, "why": "new fans"}


def expect(world: World, job: str, seconds: float) -> None:
    """Our estimate of a job is so many seconds, with an error of 0.2."""
    with world.store.write() as connection:
        jobs.set_columns(connection, jobs.get(connection, job), estimate={"seconds": seconds, "error": 0.2})


def test_a_job_without_a_limit_starts_where_its_estimate_says_that_it_is_over_before_maintenance(
    tmp_path: Path,
) -> None:
    world = world_of(tmp_path, maintenance=[new_fans("localhost", 100)])
    short, long = command(world, 1), command(world, 1)
    expect(world, short, 60.0)  # 95 of 100 such jobs are over after 60 * exp(1.645 * 0.2) = 83 s
    expect(world, long, 80.0)  # after 111 s
    world.step(3)
    assert (world.state(short), world.state(long)) == ("running", "queued")
    assert "it is expected to need up to 111 s" in world.why(long)


def test_what_still_runs_when_maintenance_begins_saves_its_state_and_goes_on_elsewhere(tmp_path: Path) -> None:
    world = world_of(tmp_path, {"a": 2, "b": 2}, maintenance=[new_fans("a", 30)])
    world.service.drain("b", "", "ann")
    job = training(world, "2")
    expect(world, job, 10.0)
    world.step(59)
    assert world.state(job) == "running"
    world.service.resume("b", "ann")
    world.step(1)
    assert [allocation.placement for allocation in world.backend.allocations().values()] == [(("a", 2),)]
    world.step(2)
    told = [event.message for event in world.service.events(job) if event.kind == "stopping"]
    assert told == ["asked to stop: maintenance of a (new fans) begins"]
    world.step(10)
    first, second = world.job(job).runs
    assert (first.state, second.state, world.job(job).preemptions) == ("stopped", "running", 1)
    assert world.backend.allocations()[f"{job}-r2.0"].placement == (("b", 2),)
    spare(world)


def test_slots_that_others_hold_are_not_counted_as_ours(world: World) -> None:
    world.backend.held_by_others = {"localhost": 3}
    job, other = command(world, 1), command(world, 2)
    world.step(3)
    assert (world.state(job), world.state(other)) == ("running", "queued")
    assert [node.slots for node in current_snapshot(world.service.site).nodes] == [1]
    world.backend.held_by_others = {}
    world.step(2)
    assert world.state(other) in {"starting", "running"}


def test_slots_that_lag_behind_cost_nobody_a_run(world: World) -> None:
    """The engine frees a moment later than the run says: nothing else is stopped for it."""
    wide, low = training(world, "1..2"), command(world, 2)
    world.step(20)
    other = command(world, 1, 5)
    world.step(1)
    world.backend.held_by_others = {"localhost": 1}  # what `wide` gave up is not free yet
    world.step(4)
    assert world.state(other) == "queued"
    assert world.job(low).preemptions == 0
    assert widths(world, wide) == (1, 1)
    world.backend.held_by_others = {}
    world.step(2)
    assert world.state(other) in {"starting", "running"}


def test_a_node_that_has_lost_slots_keeps_nobody_from_the_others(tmp_path: Path) -> None:
    world = world_of(tmp_path, {"a": 2, "b": 2})
    first = command(world, 2)
    world.step(3)
    world.backend.nodes["a"] = NodeFacts("a", 1, 1)
    second, third = command(world, 1), command(world, 2)
    world.step(3)
    assert [world.state(job) for job in (first, second, third)] == ["running", "running", "queued"]
    assert world.backend.allocations()[f"{second}-r1.0"].placement == (("b", 1),)
