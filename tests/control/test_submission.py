"""What is queued, what is refused at once, and what is the same job."""

from typing import Any

import pytest

from orchestrator.base.errors import (
    Conflict,
    NotAllowed,
    SpecError,
    StoreError,
    UsageError,
)
from orchestrator.control import submission
from orchestrator.store import jobs as table
from orchestrator.testing.world import World


def test_the_same_key_twice_is_one_job(world: World) -> None:
    request = world.request("start", "succeed", key="k")
    first, second = world.service.submit(request, "ann"), world.service.submit(request, "ann")
    assert (first.created, second.created) == (True, False)
    assert first.job.id == second.job.id
    assert len(world.service.list()) == 1


def test_the_same_key_with_other_content_is_a_conflict(world: World) -> None:
    world.service.submit(world.request("start", "succeed", key="k"), "ann")
    with pytest.raises(Conflict, match="other content"):
        world.service.submit(world.request("start", "fail", key="k"), "ann")
    assert len(world.service.list()) == 1


def test_a_key_belongs_to_its_owner_and_a_job_without_key_is_always_new(world: World) -> None:
    ids = {world.service.submit(world.request(key="k"), owner).job.id for owner in ("ann", "bob")}
    ids |= {world.submit(), world.submit()}
    assert len(ids) == 4


def test_a_repeated_key_is_answered_even_when_the_job_is_long_over(world: World) -> None:
    job = world.submit(key="k")
    world.finish()
    world.restart()
    assert world.submit(key="k") == job


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"resources": {"workers": 3}}, "needs at least 3 cpu slots"),
        ({"depends_on": ["nobody"]}, "there is no job 'nobody'"),
        ({"depends_on": ["job"]}, "job: depends_on: it depends on itself"),
        ({"workdir": "nowhere"}, "does not exist"),
        ({"nmae": "x"}, "nmae"),
    ],
)
def test_what_can_never_run_is_refused_and_nothing_is_created(
    world: World, document: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        world.submit(**document)
    assert world.service.list() == []
    assert not (world.root / "runs").exists()


def test_all_errors_of_a_document_come_at_once(world: World) -> None:
    with pytest.raises(SpecError) as caught:
        world.submit(priority="high", seed=-1)
    assert "priority" in str(caught.value)
    assert "seed" in str(caught.value)


def test_what_the_cluster_and_the_dependencies_have_against_a_job_comes_at_once(world: World) -> None:
    with pytest.raises(UsageError) as caught:
        world.submit(resources={"workers": 3}, depends_on=["nobody", "nothing"])
    assert "needs at least 3 cpu slots" in caught.value.message
    assert "job: depends_on: there is no job 'nobody'; there is no job 'nothing'" in caught.value.message
    assert caught.value.hint == "submit what it depends on first"


def test_a_dependency_that_has_failed_is_refused_at_once(world: World) -> None:
    job = world.submit("start", "fail", name="first", retry={"application": 0})
    world.finish()
    with pytest.raises(UsageError, match=f"job {job} .first. has failed"):
        world.submit(depends_on=["first"])


def test_many_workloads_are_queued_in_their_order_each_perhaps_after_one_before_it(world: World) -> None:
    requests = [world.request("start", name="first"), world.request("start", name="second", depends_on=["first"])]
    first, second = world.service.submit_many(requests, "ann")
    assert [first.job.name, second.job.name] == ["first", "second"]
    with world.store.read() as connection:
        assert table.get(connection, second.job.id).depends_on == (first.job.id,)


def test_of_many_workloads_all_are_queued_or_none_and_every_wrong_one_is_named(world: World) -> None:
    wrong = [world.request(resources={"workers": 3}), world.request(depends_on=["nobody"])]
    with pytest.raises(UsageError) as caught:
        world.service.submit_many([world.request(), *wrong], "ann")
    assert "needs at least 3 cpu slots" in caught.value.message
    assert "there is no job 'nobody'" in caught.value.message
    assert caught.value.hint.startswith("2 of 3 workloads cannot be queued; nothing was created; ")
    assert world.service.list() == []


@pytest.mark.parametrize("wrong", [{"resources": {"workers": 3}}, {"no_such_key": 1}])
def test_of_many_workloads_those_after_a_wrong_one_are_not_blamed_for_it(world: World, wrong: dict[str, Any]) -> None:
    after = world.request("start", name="second", depends_on=["first"])
    with pytest.raises((SpecError, UsageError)) as caught:
        world.service.submit_many([world.request(name="first", **wrong), after], "ann")
    assert "1 of 2 workloads cannot be queued" in caught.value.hint
    assert "there is no job" not in caught.value.message


def test_a_workload_may_not_depend_on_one_that_is_queued_after_it(world: World) -> None:
    requests = [world.request("start", name="second", depends_on=["first"]), world.request("start", name="first")]
    with pytest.raises(UsageError, match="there is no job 'first'"):
        world.service.submit_many(requests, "ann")


def test_errors_of_one_kind_keep_it_and_their_hints(world: World) -> None:
    requests = [world.request(priority=5), world.request(priority=7)]
    with pytest.raises(NotAllowed) as caught:
        world.service.submit_many(requests, "ann", highest=0)
    assert "ask an operator to raise it" in caught.value.hint


def test_a_job_that_is_known_is_found_while_the_engine_is_silent(world: World) -> None:
    request = world.request("start", key="k")
    first = world.service.submit(request, "ann")
    world.backend.available = False
    assert world.service.submit(request, "ann").job.id == first.job.id


def test_many_workloads_with_keys_that_are_known_are_not_queued_again(world: World) -> None:
    requests = [world.request("start", key="a"), world.request("start", key="b")]
    once = world.service.submit_many(requests, "ann")
    again = world.service.submit_many(requests, "ann")
    assert [reply.job.id for reply in again] == [reply.job.id for reply in once]
    assert not any(reply.created for reply in again)


def test_a_full_disk_refuses_a_submit_with_the_path_and_the_bytes_free(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "free_bytes", lambda folder: 12_345)
    with pytest.raises(StoreError, match=rf"{world.root}.*12.06 KiB are free, at least .* MiB needed"):
        world.submit()
    assert world.service.list() == []


def test_a_store_that_cannot_grow_refuses_a_submit_and_running_jobs_go_on(world: World) -> None:
    running = world.submit("start", "wait", "wait", "succeed")
    world.step(2)
    with world.store.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1")
    with pytest.raises(StoreError, match=r"store.sqlite cannot grow .*[GMTK]iB are free there"):
        _submit_large_jobs(world, 100)
    refused = len(world.service.list())
    with world.store.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    assert len(world.service.list()) == refused
    world.finish()
    assert world.state(running) == "succeeded"


def test_a_priority_above_what_its_submitter_may_give_is_refused_at_submit(world: World) -> None:
    with pytest.raises(NotAllowed, match="priority 11 needs the role operator; yours may be up to 10"):
        world.service.submit(world.request("start", "succeed", priority=11), "ann", highest=10)
    assert world.service.list() == []
    assert world.service.submit(world.request("start", "succeed", priority=10), "ann", highest=10).created


def _submit_large_jobs(world: World, count: int) -> None:
    for number in range(count):
        world.submit(description="x" * 2000, name=f"large-{number}")
