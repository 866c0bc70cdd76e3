"""What runs have used is counted once, up to when they ended, whatever clocks say and whoever counts."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from orchestrator.control.endings import Ending
from orchestrator.control.snapshot import current_snapshot
from orchestrator.lifecycle.states import RunState
from orchestrator.planning.history import finished
from orchestrator.rundir import events
from orchestrator.store import jobs, usage
from orchestrator.store.records import RunRecord
from orchestrator.testing.world import World


def attained(world: World, job: str) -> float:
    with world.store.read() as connection:
        found = jobs.get(connection, job).attained
        [team] = usage.all(connection)
    assert team.slot_seconds == pytest.approx(found, rel=0.01)
    return found


def test_what_happened_while_no_server_looked_counts_from_when_it_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    monkeypatch.setattr(events, "time", SimpleNamespace(time=world.clock.now))
    job = world.submit("start", *["wait"] * 20, "succeed", name="x")
    world.step(5)
    world.store.close()
    for _ in range(40):
        world.backend.tick()
        world.clock.advance(0.5)
    world.clock.advance(8 * 3600)
    world.open()
    world.step(5)
    [run] = world.job(job).runs
    assert run.started_at is not None
    assert run.ended_at is not None
    assert run.ended_at - run.started_at < 15
    assert world.job(job).finished_at == run.ended_at
    assert attained(world, job) < 20
    with world.store.read() as connection:
        assert [one.seconds < 15 for one in finished(connection, name="x")] == [True]


def ended_unseen(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[str, float]:
    """A job whose run ends without a word while no server looks, and when it was last heard of; hours pass."""
    monkeypatch.setattr(events, "time", SimpleNamespace(time=world.clock.now))
    job = world.submit("start", *["wait"] * 900, "succeed", retry={"infrastructure": 0})
    world.step(5)
    heard = world.clock.now()
    world.store.close()
    [name] = world.backend.allocations()
    world.backend.set_state(name, "ended")
    world.clock.advance(8 * 3600)
    return job, heard


def test_a_run_that_ended_without_a_word_while_no_server_looked_ended_when_it_was_last_heard_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    job, heard = ended_unseen(world, monkeypatch)
    world.open()
    world.step(3)
    [run] = world.job(job).runs
    assert run.started_at is not None
    assert run.ended_at is not None
    assert run.started_at <= run.ended_at <= heard


def test_what_a_run_printed_last_tells_how_long_it_lived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    job, heard = ended_unseen(world, monkeypatch)
    [logs] = tmp_path.glob("runs/jobs/*/runs/*/logs")
    for number, (name, after) in enumerate({"out.txt": 600.0, "err.txt": 60.0, "ahead.txt": 1e8}.items()):
        (logs / name).write_text(str(number))
        os.utime(logs / name, (heard + after, heard + after))
    world.open()
    world.step(3)
    assert [run.ended_at for run in world.job(job).runs] == [heard + 600.0]
    assert 590 < attained(world, job) < 620


def test_a_run_that_ends_without_a_word_before_the_servers_eyes_ends_then(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.submit("start", *["wait"] * 900, "succeed", retry={"infrastructure": 0})
    world.step(50, seconds=1)
    [name] = world.backend.allocations()
    world.backend.set_state(name, "ended")
    world.step()
    assert [run.ended_at for run in world.job(job).runs] == [world.clock.now() - 0.5]


def test_a_run_ends_neither_before_it_began_nor_in_the_future() -> None:
    began = RunRecord("r", "j", 1, 1, "a", "local", RunState.RUNNING, 1, 1, 1, created_at=5.0, started_at=10.0)
    ends = [Ending.from_marker({"outcome": "succeeded"}, None, time).at(began, 50.0) for time in (1.0, 20.0, 90.0)]
    assert ends == [10.0, 20.0, 50.0]
    assert Ending.without_marker(None, "", None, None).at(began, 50.0) == 50.0


def test_a_clock_that_is_set_back_and_corrected_or_ahead_counts_no_time_twice(tmp_path: Path) -> None:
    world = World(tmp_path, profile={"policy": "fifo"})
    job = world.submit("start", *["wait"] * 900, "succeed")
    world.step(130, seconds=1)
    before = attained(world, job)
    for jump in (-3600, 3600, 3600):
        world.clock.jump(jump)
        world.step(130, seconds=1)
    assert before > 100
    assert attained(world, job) - before == pytest.approx(3 * 130, abs=65)


def test_a_server_that_starts_on_a_clock_that_was_set_back_counts_nothing_twice(tmp_path: Path) -> None:
    world = World(tmp_path, profile={"policy": "fifo"})
    job = world.submit("start", *["wait"] * 900, "succeed")
    world.step(130, seconds=1)
    for jump in (-3600, 3600):
        world.clock.jump(jump)
        world.restart()
        world.step(130, seconds=1)
    assert attained(world, job) <= 3 * 130


def test_a_run_of_a_version_without_placements_holds_its_slots_once(tmp_path: Path) -> None:
    world = World(tmp_path, slots=8, profile={"policy": "fifo"})
    old = world.train("start", *["follow"] * 60, "succeed", workers="2..4")
    world.step(4)
    with world.store.write() as connection:
        connection.execute(text("update runs set placement='[]', counted=null, worked=0"))
    world.restart()
    new = world.submit("start", "wait", "succeed", resources={"workers": 4})
    world.step(3)
    [node] = current_snapshot(world.service.site).nodes
    assert node.slots == 8
    assert world.state(new) == "running"
    assert world.service.resize(old, 2).reason.startswith("asked to resize from 4 to 2")
