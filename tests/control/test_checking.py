"""Jobs are queued also while an engine with a queue of its own is silent, and checked before they are handed over."""

import threading
from pathlib import Path
from typing import Any

import pytest
from queueing_kit import passes, queueing

from orchestrator.backends.protocol import Capacity
from orchestrator.base.errors import BackendUnavailable, UsageError
from orchestrator.control import submission
from orchestrator.control.engine_queue import EngineQuestions
from orchestrator.testing.world import World

TOO_WIDE = {"workers": 99}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return queueing(tmp_path)


def test_a_job_is_queued_while_the_engine_is_silent_and_that_it_was_not_checked_is_told(world: World) -> None:
    world.backend.available = False
    reply = world.service.submit(world.request(), "somebody")
    world.step(3)
    assert world.state(reply.job.id) == "queued"
    assert [told for told in reply.warnings if "Simulated does not answer" in told]
    world.restart()
    world.step()
    world.backend.available = True
    for _ in range(8):
        passes(world)
    assert world.state(reply.job.id) == "succeeded"


def test_what_never_fits_fails_in_the_words_of_a_submit_and_is_never_handed_over(world: World) -> None:
    with pytest.raises(UsageError) as refused:
        world.submit(resources=TOO_WIDE)
    world.backend.available = False
    wide = world.submit(resources=TOO_WIDE)
    small = world.submit("start", "succeed", resources={"workers": 2, "cpus_per_worker": 2})
    assert world.record(small).reason.startswith("queued; Simulated does not answer")
    world.backend.available = True
    passes(world, 8, seconds=15)
    assert world.state(wide) == "failed"
    assert refused.value.message in world.job(wide).reason
    assert (world.state(small), world.record(small).slots_per_worker) == ("succeeded", 2)
    assert list(world.backend.allocations()) == [f"{small}-r1.0"]


def unchecked(world: World, **more: Any) -> str:
    world.backend.available = False
    job = world.submit("start", "succeed", **more)
    world.backend.available = True
    return job


def test_an_engine_that_has_nothing_yet_says_nothing_of_a_job(world: World) -> None:
    job, nodes = unchecked(world), dict(world.backend.nodes)
    world.backend.nodes.clear()
    passes(world, 8, seconds=60)
    assert world.state(job) == "queued"
    assert "whether it fits is not known yet: Simulated has no node yet" in world.record(job).reason
    world.backend.nodes.update(nodes)
    passes(world, 8)
    assert world.state(job) == "succeeded"


def test_a_partition_that_is_missing_is_told_and_fails_no_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job, said = unchecked(world), "Slurm has no partition batch"
    with monkeypatch.context() as patch:
        patch.setattr(world.backend, "capacity", lambda: Capacity(4, 4, 0, faults=(said,)))
        passes(world, 8, seconds=60)
        assert world.state(job) == "queued"
        assert said in world.record(job).reason
        assert [detail for detail in EngineQuestions(world.service.site, dict).why(job).details if said in detail]
    passes(world, 8)
    assert world.state(job) == "succeeded"


def test_what_does_not_fit_while_nodes_are_away_is_not_failed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = unchecked(world, resources={"workers": 4})
    with monkeypatch.context() as patch:
        patch.setattr(world.backend, "capacity", lambda: Capacity(2, 2, 2))
        passes(world, 3, seconds=20)
        assert world.state(job) == "queued"
        assert "needs at least 4 cpu slots" in world.record(job).reason
    passes(world, 8)
    assert world.state(job) == "succeeded"


def test_what_was_checked_does_not_wait_for_what_could_not_be(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = world.submit("start", "succeed")

    def silent() -> Capacity:
        raise BackendUnavailable("nodes are not told", hint="wait")

    with monkeypatch.context() as patch:
        patch.setattr(world.backend, "capacity", silent)
        unchecked = world.submit("start", "succeed")
        for _ in range(8):
            passes(world)
        assert (world.state(checked), world.state(unchecked)) == ("succeeded", "queued")
    for _ in range(8):
        passes(world)
    assert world.state(unchecked) == "succeeded"


def test_nobody_waits_long_for_an_engine_that_hangs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hangs() -> Capacity:
        over.wait(60)
        raise BackendUnavailable("timed out", hint="wait")

    monkeypatch.setattr(submission, "_PATIENCE", 0.01)
    monkeypatch.setattr(world.backend, "capacity", hangs)
    job = world.submit("start", "succeed")
    over.set()
    assert world.state(job) == "queued"


def test_an_engine_that_we_place_jobs_on_has_to_answer_a_submit(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.backend.available = False
    with pytest.raises(BackendUnavailable):
        world.submit("start", "succeed")
    assert world.service.list() == []
