"""What of a run leaves drained nodes of an engine with a queue of its own, and what stays."""

from dataclasses import replace
from pathlib import Path

import pytest
from queueing_kit import FOLLOWS, growth_of, passes, queueing, run_of, said

from orchestrator.base.errors import Conflict
from orchestrator.testing.world import World

SIX = {"epochs": 2, "batch_size": 96, "samples_per_virtual_worker": 16}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return queueing(tmp_path)


def grown(world: World, workers: str) -> str:
    """A training that has all its workers, two on a node."""
    job = world.train(*FOLLOWS, workers=workers, train=SIX)
    passes(world, 8)
    return job


def drain(world: World, *names: str) -> None:
    for name in names:
        note = "drained in Slurm: a loud fan"
        world.backend.nodes[name] = replace(world.backend.nodes[name], up=False, drained=True, note=note)


def resume(world: World, name: str) -> None:
    world.backend.nodes[name] = replace(world.backend.nodes[name], up=True, drained=False, note="")


def nodes(world: World, job: str) -> list[str]:
    return sorted(node for node, _ in run_of(world, job).placement)


def live(world: World) -> list[str]:
    return [name.rpartition(".")[2] for name in world.backend.list()]


def test_growth_leaves_a_drained_node_and_comes_elsewhere_once_there_is_room(world: World) -> None:
    job = grown(world, "2..6")
    drain(world, "c")
    passes(world, 4)
    assert nodes(world, job) == ["a", "b"]
    assert said(world, job, "growth")[2:] == [
        f"{job}-r1.101 is asked to leave: c is drained in Slurm: a loud fan",
        f"Simulated is asked for 2 more workers ({job}-r1.102)",
    ]
    passes(world, 100)
    assert len(growth_of(world, job)) == 3
    resume(world, "c")
    passes(world, 4)
    assert (nodes(world, job), world.state(job)) == (["a", "b", "c"], "running")


def test_what_a_run_began_with_leaves_too_where_enough_joined_it(world: World) -> None:
    job = grown(world, "2..6")
    drain(world, "a")
    passes(world, 2)
    world.backend.script(f"{job}-r1.100", "always:follow")
    passes(world, 2)
    assert (nodes(world, job), world.state(job)) == (["b", "c"], "running")
    assert f"{job}-r1.0 is asked to leave: a is drained in Slurm: a loud fan" in said(world, job, "growth")


def test_the_fewest_workers_stay_on_drained_nodes_to_the_end(world: World) -> None:
    job = grown(world, "2..6")
    drain(world, "a", "b", "c")
    passes(world, 50)
    assert (nodes(world, job), world.state(job)) == (["a"], "running")
    assert len(growth_of(world, job)) == 2


def test_growth_that_carries_its_run_stays_on_a_drained_node(world: World) -> None:
    job = grown(world, "2..4")
    world.backend.set_state(f"{job}-r1.0", "ended", "infrastructure")
    world.backend.script(f"{job}-r1.100", "always:follow")
    drain(world, "a", "b", "c")
    world.step(20)
    assert (nodes(world, job), world.state(job)) == (["b"], "running")


def test_a_run_that_cannot_change_its_width_stays(world: World) -> None:
    job = grown(world, "6")
    drain(world, "a")
    passes(world, 20)
    assert (world.state(job), live(world)) == ("running", ["0"])


def test_an_allocation_of_several_nodes_stays_while_one_of_them_is_good(world: World) -> None:
    world.backend.nodes["d"] = replace(world.backend.nodes["a"], name="d")
    world.backend.nodes["e"] = replace(world.backend.nodes["a"], name="e")
    job = world.train(*FOLLOWS, workers="4..8", train=SIX | {"batch_size": 128})
    passes(world, 8)
    assert len(nodes(world, job)) == 4
    drain(world, "a")
    passes(world, 10)
    assert "0" in live(world)
    drain(world, "b")
    passes(world, 10)
    assert "0" not in live(world)
    assert world.state(job) == "running"


def test_growth_that_began_after_its_node_was_drained_shows_that_the_count_of_nodes_is_old(world: World) -> None:
    job = grown(world, "2..4")
    drain(world, "b", "c")
    passes(world, 4)
    assert nodes(world, job) == ["a"]
    resume(world, "c")
    world.backend.begin(f"{job}-r1.101")
    drain(world, "c")
    passes(world, 20)
    assert nodes(world, job) == ["a", "c"]
    resume(world, "c")
    passes(world)
    drain(world, "c")
    passes(world, 4)
    assert nodes(world, job) == ["a"]


def test_what_leaves_too_slowly_is_ended(world: World) -> None:
    job = grown(world, "2..6")
    world.backend.script(f"{job}-r1.101", "stubborn", "wait")
    passes(world, 2)
    drain(world, "c")
    passes(world, 50)
    assert "101" not in live(world)


def test_an_operator_has_what_cannot_leave_a_drained_node_go_on_elsewhere(world: World) -> None:
    job = world.submit("start", "always:wait", retry={"backoff": "1s"})
    passes(world, 3)
    with pytest.raises(Conflict, match="nothing was changed"):
        world.service.drain("a", "", "otto")
    drain(world, "a")
    passes(world)
    world.service.drain("a", "", "otto")
    assert (world.service.evict("b", "otto"), world.service.evict("a", "otto")) == ([], [job])
    assert world.service.evict("a", "otto") == []
    passes(world, 10)
    assert (world.state(job), [run.failure_class for run in world.job(job).runs]) == ("running", ["preempted", None])


def test_a_run_that_is_cancelled_while_a_part_of_it_leaves_ends_as_a_whole(world: World) -> None:
    job = grown(world, "2..6")
    world.backend.script(f"{job}-r1.0", "stubborn", "wait")
    passes(world, 2)
    drain(world, "a")
    passes(world, 2)
    world.service.cancel(job)
    world.step(2)
    assert live(world) == ["0"]
    world.step(60)
    assert (live(world), world.state(job)) == ([], "cancelled")


def test_what_a_run_began_with_and_hangs_is_ended_also_by_the_next_server(world: World) -> None:
    job = grown(world, "2..6")
    world.backend.script(f"{job}-r1.0", "stubborn", "wait")
    passes(world, 2)
    world.backend.script(f"{job}-r1.100", "always:follow")
    drain(world, "a")
    passes(world, 2)
    world.backend.stop = lambda allocation, *, grace_seconds: None  # type: ignore[method-assign]
    resume(world, "a")
    world.restart()
    passes(world, 30)
    assert "0" in live(world)
    passes(world, 20)
    assert "0" not in live(world)
    assert world.state(job) == "running"
    told = [text for text in said(world, job, "growth") if text.startswith(f"{job}-r1.0 ")]
    assert told == [f"{job}-r1.0 is asked to leave: a is drained in Slurm: a loud fan"]
    world.backend.script(f"{job}-r1.100", "succeed")
    passes(world, 12, seconds=5)
    assert (world.state(job), run_of(world, job).released) == ("succeeded", True)


def without_its_base(world: World, workers: str) -> str:
    """A training that goes on without the allocation that it began with."""
    job = grown(world, workers)
    world.backend.set_state(f"{job}-r1.0", "ended", "infrastructure")
    world.backend.script(f"{job}-r1.100", "always:follow")
    world.step(2)
    return job


def test_a_node_that_growth_can_leave_by_itself_is_emptied_without_stopping_the_run(world: World) -> None:
    job = without_its_base(world, "2..6")
    drain(world, "c")
    assert nodes(world, job) == ["b", "c"]
    assert world.service.evict("c", "otto") == []
    assert world.service.evict("b", "otto") == []
    passes(world, 4)
    assert "c" not in nodes(world, job)
    assert world.state(job) == "running"


def test_growth_that_carries_its_run_is_stopped_where_its_node_is_to_be_empty_now(world: World) -> None:
    job = without_its_base(world, "2..4")
    drain(world, "b")
    assert world.service.evict("b", "otto") == [job]


def test_an_engine_that_does_not_answer_for_all_knows_nothing_of_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = grown(world, "2..6")
    monkeypatch.setattr(world.backend, "observe", lambda allocations: {})
    assert world.service.evict("a", "otto") == []
    assert world.state(job) == "running"
