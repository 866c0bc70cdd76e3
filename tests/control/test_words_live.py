"""What people are told about preemptions and drains."""

from dataclasses import replace
from pathlib import Path

from orchestrator.store import nodes
from orchestrator.testing.world import World


def test_draining_again_changes_neither_who_drained_it_nor_since_when(tmp_path: Path) -> None:
    world = World(tmp_path, slots={"a": 2})
    world.service.drain("a", "bad fan", "ann")
    with world.store.read() as connection:
        first = nodes.all(connection)["a"]
    world.clock.advance(1000)
    world.service.drain("a", "", "bob")
    world.service.drain("a", "two bad fans", "bob")
    with world.store.read() as connection:
        assert nodes.all(connection)["a"] == replace(first, note="two bad fans")


def test_a_training_that_was_preempted_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    world = World(tmp_path, slots=4, profile={"policy": {"preset": "priority", "preemption": {"min_run": 1}}})
    low = world.train("start", *["follow"] * 100, "succeed", workers="4")
    world.step(20)
    world.submit("start", "wait", "succeed", priority=50, resources={"workers": 4})
    world.step(4)
    assert "goes on from its newest checkpoint when its turn comes" in world.job(low).reason


def test_a_team_that_takes_its_quota_back_is_named(tmp_path: Path) -> None:
    teams = [{"name": "vision", "quota": 2}, {"name": "video"}]
    policy = {"preset": "fair", "preemption": {"for_whom": "quota", "min_run": 1}}
    world = World(tmp_path, slots=4, profile={"policy": policy, "teams": teams})
    low = [world.submit("start", *["wait"] * 60, "succeed", team="video", resources={"workers": 2}) for _ in range(2)]
    world.step(10)
    high = world.submit("start", "wait", "succeed", team="vision", resources={"workers": 2})
    world.controller.step()
    asked = [world.job(job).reason for job in low if "asked to stop" in world.job(job).reason]
    assert asked == [f"asked to stop for {high}: team vision takes its quota back"]
