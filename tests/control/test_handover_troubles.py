"""What is wrong with one job, or with the engine, holds up none of the others that are handed over."""

import threading
from pathlib import Path

import pytest
from queueing_kit import damage, damage_run, passes, queueing, run_of

from orchestrator.backends.protocol import Capacity, LaunchRequest
from orchestrator.base.errors import BackendUnavailable
from orchestrator.control import starts
from orchestrator.lifecycle.states import JobState
from orchestrator.rundir.layout import JobDirectory
from orchestrator.store import jobs
from orchestrator.testing.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return queueing(tmp_path)


def test_a_damaged_job_does_not_hold_the_others_up(world: World) -> None:
    bad, good = world.submit("start", "succeed"), world.submit("start", "succeed")
    damage(world, bad)
    for _ in range(4):
        passes(world)
    damage(world, bad, "{}")
    assert world.state(good) == "succeeded"
    assert world.job(bad).reason.startswith("in trouble")


@pytest.mark.parametrize(("column", "wrong"), [("cursors", "{"), ("state", "asleep"), ("placement", "[[1]]")])
def test_a_damaged_run_holds_no_others_up_and_keeps_what_it_holds(world: World, column: str, wrong: str) -> None:
    bad = world.submit("start", "always:progress:1")
    passes(world, 3)
    row = run_of(world, bad).to_row()
    damage_run(world, bad, **{column: wrong})
    good = world.submit("start", "succeed")
    world.service.cancel(world.submit("start", "succeed"))
    for _ in range(4):
        passes(world)
    assert world.state(good) == "succeeded"
    assert world.record(bad).reason.startswith("in trouble")
    assert list(world.backend.allocations()) == [f"{bad}-r1.0", f"{good}-r1.0"]
    damage_run(world, bad, **{column: row[column]})
    passes(world)
    assert "in trouble" not in world.record(bad).reason
    world.service.cancel(bad)
    world.finish()


def test_a_job_whose_damaged_run_may_still_run_is_not_started_again(world: World) -> None:
    job = world.submit("start", "always:progress:1")
    passes(world, 3)
    with world.store.write() as connection:
        jobs.move(connection, jobs.get(connection, job), JobState.RECOVERING, reason="lost", time=0.0)
    damage_run(world, job, cursors="{")
    passes(world, 4)
    assert list(world.backend.allocations()) == [f"{job}-r1.0"]
    assert world.state(job) == "recovering"


def test_an_engine_that_does_not_tell_what_it_has_is_handed_jobs_also_while_none_runs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = world.submit("start", "succeed")

    def silent() -> Capacity:
        raise BackendUnavailable("nodes are not told", hint="wait")

    monkeypatch.setattr(world.backend, "capacity", silent)
    for _ in range(4):
        passes(world)
    assert world.state(job) == "succeeded"


def test_nothing_is_written_down_for_an_engine_that_is_silent_altogether(world: World) -> None:
    job = world.submit("start", "succeed")
    world.backend.available = False
    world.step(3)
    assert world.state(job) == "queued"
    assert "does not answer" in world.job(job).reason


def test_jobs_in_trouble_wait_behind_the_others_and_hurry_nobody(tmp_path: Path) -> None:
    world = queueing(tmp_path, slurm={"waiting": 2})
    bad = [world.submit("start", "succeed") for _ in range(3)]
    good = world.submit("start", "succeed")
    for job in bad:
        damage(world, job)
    delays = [world.controller.step() for _ in range(4)]
    assert f"{good}-r1.0" in world.backend.allocations()
    assert min(delays[2:]) > 0


def test_trouble_with_a_launch_is_written_down_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = world.submit("start", "succeed")

    def broken(request: LaunchRequest) -> None:
        raise RuntimeError("nobody foresaw this")

    with monkeypatch.context() as patch:
        patch.setattr(world.backend, "launch", broken)
        world.step(2)
        version = world.store.version
        world.step(5)
        assert world.store.version == version
        assert "nobody foresaw this" in world.job(job).reason
    for _ in range(4):
        passes(world)
    assert world.state(job) == "succeeded"


def test_what_is_cancelled_while_slow_disks_are_asked_is_not_started(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, stays = world.submit("start", "succeed"), world.submit("start", "succeed")

    def slow(directory: JobDirectory) -> int:
        if world.state(gone) == "queued":  # somebody else's thread could not, were this in a transaction
            thread = threading.Thread(target=world.service.cancel, args=(gone,), daemon=True)
            thread.start()
            thread.join(10)
        return 0

    monkeypatch.setattr(starts, "read_fence", slow)
    world.step(2)
    assert world.state(gone) == "cancelled"
    assert world.backend.list() == [f"{stays}-r1.0"]


def test_while_the_engine_rests_what_depends_on_a_failed_job_fails_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = world.submit("start", "succeed", name="bad")
    after = world.submit("start", "succeed", depends_on=["bad"])
    world.service.hold(bad)
    world.submit("start", "succeed")

    def full(request: LaunchRequest) -> None:
        raise BackendUnavailable("too many jobs", hint="wait")

    monkeypatch.setattr(world.backend, "launch", full)
    world.step()
    world.service.cancel(bad)
    world.step(2)
    assert world.state(after) == "failed"
