"""What cannot be read or written, or nobody foresaw, is one job's trouble: the queue goes on."""

import shutil

import pytest

from orchestrator.base.errors import NotFound
from orchestrator.control.launching import Launching
from orchestrator.control.loop import Controller
from orchestrator.control.questions import Questions
from orchestrator.control.starts import Starts
from orchestrator.store import jobs as table
from orchestrator.testing.world import World


def test_garbage_among_the_events_harms_only_its_own_run(world: World) -> None:
    bad = world.submit("start", "wait", "die", retry={"infrastructure": 0})
    good = world.submit("start", "wait", "succeed")
    world.step(2)
    folder = world.run_directory(bad).events / "rank-0"
    folder.mkdir()
    (folder / "00000000.json").write_text('{"no": "event"}')
    world.finish()
    assert (world.state(bad), world.state(good)) == ("failed", "succeeded")


def test_a_run_directory_that_cannot_be_written_is_told_and_tried_again(world: World) -> None:
    (world.root / "runs").mkdir()
    (world.root / "runs" / "jobs").write_text("in the way")
    job = world.submit()
    world.step(2)
    assert "its run directory cannot be written" in world.job(job).reason
    assert "iB are free" in world.job(job).reason
    (world.root / "runs" / "jobs").unlink()
    world.finish()
    assert world.state(job) == "succeeded"


def test_a_run_directory_that_somebody_removes_is_told_and_the_job_begins_another_run(world: World) -> None:
    job = world.submit("start", *["wait"] * 50, "succeed", retry={"backoff": 1})
    world.step(3)
    assert "is gone" not in world.job(job).reason
    shutil.rmtree(world.run_directory(job).path)
    questions = Questions(world.service.site, believed=world.controller.held_by_others)
    for told in (world.job(job).reason, questions.why(job).details[0]):
        assert f"the directory of {job}-r1 is gone" in told
        assert f"`orchestrator cancel {job}` ends it now" in told
    with pytest.raises(NotFound, match=f"the directory of {job}-r1 is gone"):
        world.service.logs(job)
    world.backend.set_state(f"{job}-r1.0", "ended")
    world.finish()
    assert [(run.state, run.failure_class) for run in world.job(job).runs] == [
        ("failed", "infrastructure"),
        ("succeeded", None),
    ]


def test_a_fence_that_cannot_be_read_fails_its_own_job_by_name_and_the_queue_goes_on(world: World) -> None:
    bad = world.submit(retry={"infrastructure": 1, "backoff": 1})
    world.job_directory(bad).path.mkdir(parents=True)
    world.job_directory(bad).fence.touch()
    good = world.submit()
    world.finish()
    assert (world.state(bad), world.state(good)) == ("failed", "succeeded")
    assert f"{world.job_directory(bad).fence}: this is no fencing token" in world.job(bad).reason
    assert "hint: remove the file" in world.job(bad).reason
    world.job_directory(bad).fence.unlink()
    world.service.retry(bad)
    world.finish()
    assert world.state(bad) == "succeeded"


def test_a_stored_workload_that_cannot_be_read_fails_its_own_job_and_the_queue_goes_on(world: World) -> None:
    bad, good = world.submit(), world.submit()
    spoil(world, bad)
    world.finish()
    assert (world.state(bad), world.state(good)) == ("failed", "succeeded")
    assert world.job(bad).reason.startswith(f"the stored workload of job {bad} cannot be read (not a frozen workload")


def test_a_run_ends_even_where_the_stored_workload_cannot_be_read_any_more(world: World) -> None:
    bad, good = world.submit("start", "wait", "fail"), world.submit("start", "wait", "succeed")
    world.step(3)
    spoil(world, bad)
    world.finish()
    assert (world.state(bad), world.state(good)) == ("failed", "succeeded")
    assert "it broke; the stored workload" in world.job(bad).reason
    assert world.backend.capacity().free == 2


@pytest.mark.parametrize(("part", "step"), [(Starts, "_write_down"), (Launching, "_prepare")])
def test_trouble_that_nobody_foresaw_is_told_of_its_own_job_and_the_queue_goes_on(
    world: World, part: type, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = world.submit("start", "wait", "succeed"), world.submit()
    with monkeypatch.context() as patch:
        original = getattr(part, step)

        def broken(self: object, first: object, *rest: object) -> object:
            if bad in str(first):
                raise RuntimeError("gremlins")
            return original(self, first, *rest)

        patch.setattr(part, step, broken)
        world.step(10)
    assert world.state(good) == "succeeded"
    assert world.job(bad).reason.startswith("in trouble, tried again in the next pass: RuntimeError: gremlins")
    world.step(2)
    assert "trouble" not in world.job(bad).reason
    world.finish()
    assert world.state(bad) == "succeeded"


def test_trouble_with_a_run_is_told_until_a_look_goes_well(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = world.submit("start", *["wait"] * 10, "succeed")
    world.step(3)
    with monkeypatch.context() as patch:
        patch.setattr(Controller, "_limit_time", lambda self, run: 1 / 0)
        world.step(2)
        assert "ZeroDivisionError" in world.job(job).reason
    world.step()
    assert world.job(job).reason == f"runs on 1 worker ({job}-r1)"


def spoil(world: World, job: str) -> None:
    with world.store.write() as connection:
        table.set_columns(connection, table.get(connection, job), workload="no workload")
