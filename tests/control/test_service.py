"""What people ask of the job service about jobs that are queued: cancel, retry, names, logs, results, lists."""

import json
from copy import copy
from pathlib import Path

import pytest
from sqlalchemy import event as sqlalchemy_event

from orchestrator.backends.protocol import Capacity
from orchestrator.base.errors import (
    BackendUnavailable,
    Conflict,
    NotFound,
    UsageError,
)
from orchestrator.store import jobs as table
from orchestrator.store import tables
from orchestrator.testing.world import World


def test_a_queued_job_is_cancelled_at_once(world: World) -> None:
    job = world.submit()
    assert world.service.cancel(job).state == "cancelled"
    assert world.service.cancel(job).state == "cancelled"
    world.step(3)
    assert world.backend.allocations() == {}


def test_a_running_job_is_cancelled_when_its_slots_are_free(world: World) -> None:
    job = world.submit("start", *["wait"] * 50)
    world.step(3)
    assert world.service.cancel(job).state == "cancelling"
    assert world.service.cancel(job).state == "cancelling"
    world.step()
    assert world.state(job) == "cancelling"
    world.finish()
    view = world.job(job)
    assert (view.state, view.runs[0].state) == ("cancelled", "stopped")
    assert world.backend.capacity().free == 2


def test_a_job_that_ignores_the_request_is_killed_after_the_grace_time(world: World) -> None:
    job = world.submit("start", "stubborn", *["wait"] * 500)
    world.step(4)
    world.service.cancel(job)
    world.step(20)
    assert world.state(job) == "cancelling"
    world.finish(60)
    assert world.state(job) == "cancelled"


def test_a_job_that_finishes_before_the_cancel_reaches_it_has_succeeded(world: World) -> None:
    job = world.submit("start", "succeed")
    world.step(2)
    world.service.cancel(job)
    world.finish()
    assert world.state(job) == "succeeded"
    assert world.job(job).reason == "all done (before it was cancelled)"


def test_what_is_over_cannot_be_cancelled(world: World) -> None:
    job = world.submit()
    world.finish()
    with pytest.raises(Conflict, match="has succeeded already"):
        world.service.cancel(job)
    with pytest.raises(Conflict, match=f"job {job} has succeeded\n"):
        world.service.retry(job)


def test_a_job_whose_launch_is_not_answered_can_be_cancelled(world: World) -> None:
    job = world.submit("start", *["wait"] * 50)
    world.backend.answers_to_lose = 1
    world.controller.step()
    world.service.cancel(job)
    world.finish()
    assert world.state(job) == "cancelled"
    assert world.backend.capacity().free == 2


def test_a_failed_or_cancelled_job_can_be_retried_with_fresh_budgets(world: World) -> None:
    job = world.submit("start", "first:fail", "succeed", retry={"application": 0})
    world.finish()
    assert world.state(job) == "failed"
    with pytest.raises(Conflict, match="only a failed or cancelled job"):
        world.service.retry(world.submit())
    assert world.service.retry(job).failures == {}
    world.finish()
    assert world.moves(job)[-4:] == ["queued", "starting", "running", "succeeded"]


def test_a_prefix_or_a_name_stands_for_a_job(world: World) -> None:
    first, second = world.submit(name="alpha"), world.submit(name="beta")
    assert world.service.resolve(first) == first
    assert world.service.resolve("beta") == second
    with pytest.raises(Conflict, match="several jobs"):
        world.service.resolve("j-000")
    with pytest.raises(NotFound, match="no job 'gamma'"):
        world.service.resolve("gamma")
    with pytest.raises(NotFound):
        world.service.resolve("j-%")


def test_a_name_prefers_the_one_job_that_is_not_over(world: World) -> None:
    world.submit(name="daily")
    world.finish()
    newer = world.submit(name="daily")
    assert world.service.resolve("daily") == newer
    world.finish()
    with pytest.raises(Conflict, match=newer):
        world.service.resolve("daily")


def test_logs_are_listed_and_their_names_cannot_lead_astray(world: World) -> None:
    job = world.submit()
    world.finish()
    run = world.run_directory(job)
    (run.logs / "rank-0.log").write_text("hello")
    (world.root / "secret").write_text("!")
    (run.logs / "link.log").symlink_to(world.root / "secret")
    assert [(log.run, log.name, log.bytes) for log in world.service.logs(job)] == [(run.run, "rank-0.log", 5)]
    assert world.service.log_path(job, None, "rank-0.log") == run.logs / "rank-0.log"
    for name in ("../control.json", "/etc/passwd", "..", "", "link.log", "nul\0", "rank-1.log"):
        with pytest.raises(NotFound):
            world.service.log_path(job, None, name)
    with pytest.raises(NotFound, match="no run"):
        world.service.log_path(job, "../../other/runs/x", "rank-0.log")


def test_results_are_what_the_job_left(world: World) -> None:
    job = world.submit("start", "trial:0", "succeed")
    assert world.service.results(job).summary == {}
    world.finish()
    folder = world.job_directory(job).results
    (folder / "plots").mkdir()
    (folder / "plots" / "edf.png").write_bytes(b"png")
    (folder / "summary.json").write_text(json.dumps({"best": 3}))
    results = world.service.results(job)
    assert results.summary == {"best": 3}
    assert [file.name for file in results.files] == ["plots/edf.png", "summary.json"]
    assert results.tracking["run"] == job


def test_events_are_paged(world: World) -> None:
    job = world.submit()
    world.finish()
    everything = world.service.events(job)
    assert [event.kind for event in everything[:2]] == ["submitted", "state"]
    assert world.service.events(job, after=everything[0].id, limit=2) == everything[1:3]
    with pytest.raises(NotFound):
        world.service.events("j-none")


def test_jobs_are_listed_newest_first_and_filtered(world: World) -> None:
    first, second = world.submit(name="one"), world.submit(name="two")
    world.service.cancel(first)
    assert [job.id for job in world.service.list()] == [second, first]
    assert [job.id for job in world.service.list(states=["CANCELLED"])] == [first]
    assert [job.id for job in world.service.list(name="two", limit=1)] == [second]
    with pytest.raises(UsageError, match="no state 'lazy'"):
        world.service.list(states=["lazy"])


def test_jobs_of_another_profile_or_engine_are_named_until_they_are_over(world: World) -> None:
    job = world.submit("start", "wait", "succeed")
    world.service.refuse_other_clusters({})
    other = copy(world)
    other.profile = world.profile.model_copy(update={"name": "elsewhere"})
    world.store.close()
    other.open()
    with pytest.raises(Conflict, match=f"profile elsewhere .* are not over: {job} .profile simulated."):
        other.service.refuse_other_clusters({})
    with pytest.raises(Conflict, match=r"orchestrator serve --profile '/my labs/lab.yaml'"):
        other.service.refuse_other_clusters({"simulated": "/my labs/lab.yaml"})
    other.store.close()
    world.open()
    world.step(2)
    world.backend.name = "another"
    with pytest.raises(Conflict, match=f"{job} .engine simulated."):
        world.service.refuse_other_clusters({})
    world.backend.name = "simulated"
    world.finish()
    world.step(2)
    world.store.close()
    other.open()
    other.service.refuse_other_clusters({})


def test_ten_thousand_jobs_take_no_more_queries_than_ten(tmp_path: Path) -> None:
    world = World(tmp_path)
    few = _queries(world, 10)
    many = _queries(world, 9_990)
    assert len(world.service.list(limit=10_000)) == 10_000
    assert many <= few
    newest = world.service.list(limit=1_000)
    for job in newest[::2]:
        world.service.cancel(job.id)
    world.step(3)
    assert [job.state for job in world.service.list(limit=1_000)] == ["cancelled", "queued"] * 500
    begun = [job.id for job in world.service.list(states=["starting", "running"])]
    assert begun == ["j-00000002", "j-00000001"]  # first come, first served


def _queries(world: World, jobs: int) -> int:
    """Submit so many more, and count what one look at the list and one pass of the controller ask of the store."""
    world.submit("start", *["wait"] * 500)
    with world.store.write() as connection:
        known = table.newest(connection, states=None, name=None, limit=1)[0].to_row() | {"client_key": None}
        connection.execute(tables.jobs.insert(), [known | {"id": world.ids.new("j")} for _ in range(jobs - 1)])
    world.restart()  # written past the functions that tell a server what has changed: one by one takes half a minute
    world.controller.step()
    asked: list[str] = []
    engine = world.store._readers
    listener = lambda *args: asked.append(args[2])  # noqa: E731
    sqlalchemy_event.listen(engine, "before_cursor_execute", listener)
    world.service.list()
    world.controller.step()
    sqlalchemy_event.remove(engine, "before_cursor_execute", listener)
    return len(asked)


def test_what_can_be_done_instead_is_told_of_a_running_job_that_is_held_and_a_queued_one_that_is_resized(
    world: World,
) -> None:
    running = world.train("start", *["wait"] * 20, "succeed", workers="1..2")
    world.step(3)
    with pytest.raises(Conflict) as held:
        world.service.hold(running, "otto")
    assert f"orchestrator cancel {running}" in held.value.hint
    queued = world.train("start", "succeed")
    with pytest.raises(Conflict) as resized:
        world.service.resize(queued, 2)
    assert "--set resources.workers=2" in resized.value.hint


def test_a_node_is_drained_and_a_width_handed_back_while_the_engine_is_silent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent() -> Capacity:
        raise BackendUnavailable("no answer")

    running = world.train("start", *["wait"] * 20, "succeed", workers="1..2")
    world.step(3)
    monkeypatch.setattr(world.backend, "capacity", silent)
    world.service.drain("localhost", "fan", "otto")
    with pytest.raises(NotFound, match="no node 'nope'"):
        world.service.drain("nope", "", "otto")
    assert world.service.resize(running, None).id == running
