"""What an engine with a queue of its own would refuse is refused at submit."""

from pathlib import Path

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.testing.world import World

REFUSED = "Slurm refuses the job: Invalid account or account/partition combination specified"


@pytest.fixture
def queueing(tmp_path: Path) -> World:
    return World(tmp_path, slots={"n1": 4}, queues=True)


def test_what_the_engine_would_refuse_is_refused_at_submit_in_its_words(queueing: World) -> None:
    queueing.backend.takes_none = REFUSED
    with pytest.raises(UsageError, match=f"job: {REFUSED}") as refused:
        queueing.submit("start")
    assert refused.value.hint == "name another account"
    assert queueing.service.list() == []


def test_equal_workloads_are_tried_once_a_minute(queueing: World) -> None:
    for _ in range(3):
        queueing.submit("start")
    queueing.submit("start", team="vision")
    assert queueing.backend.dry_runs == 2
    queueing.clock.advance(61)
    queueing.submit("start")
    assert queueing.backend.dry_runs == 3


def test_an_engine_that_does_not_answer_is_not_waited_for_with_each_submit(
    queueing: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    capacity = queueing.backend.capacity()
    monkeypatch.setattr(queueing.backend, "capacity", lambda: capacity)
    queueing.backend.available = False
    for team in ("vision", "video"):
        queueing.submit("start", team=team)
    assert queueing.backend.dry_runs == 1
    queueing.clock.advance(31)
    queueing.submit("start")
    assert queueing.backend.dry_runs == 2


def test_many_workloads_at_once_are_not_tried(queueing: World) -> None:
    requests = [queueing.request("start", key=f"k{number}") for number in range(5)]
    assert len(queueing.service.submit_many(requests, "ann")) == 5
    assert queueing.backend.dry_runs == 0


def test_an_engine_without_a_queue_of_its_own_is_not_asked(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.submit("start")
    assert world.backend.dry_runs == 0
