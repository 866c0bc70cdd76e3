"""What runs measure of themselves reaches the store, and what follows from it the jobs."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import pytest
from measured_kit import FEATURES, LONG, tell

from orchestrator.backends.protocol import Capacity, NodeFacts
from orchestrator.base.hardware import cpu_name
from orchestrator.control.measuring import Expected, left, memory_default
from orchestrator.control.questions import Questions
from orchestrator.lifecycle.reasons import utc
from orchestrator.lifecycle.states import RunState
from orchestrator.scheduling.estimates.eta import Eta
from orchestrator.scheduling.estimates.forecast import RunEstimate
from orchestrator.store import measurements
from orchestrator.store.records import JobRecord, RunRecord
from orchestrator.testing.world import World

MEASURED: dict[str, Any] = {
    "workers": 1,
    "device": cpu_name(),
    "samples": 5000,
    "seconds": 500.0,
    "evaluated": 360,
    "evaluation_seconds": 10.0,
    "epochs": 2,
    "epoch_seconds": 0.5,
    "memory": 9e8,
    "features": FEATURES.to_json(),
}


def test_a_training_is_expected_to_take_some_time_when_it_is_submitted(world: World) -> None:
    job = world.train("start", *["wait"] * 50, train=LONG)
    record, view = world.record(job), world.job(job)
    assert record.estimate is not None
    assert record.estimate["seconds"] > 0
    assert 0.5 < record.exponent <= 1.0
    assert view.expected is not None
    assert view.expected.seconds == pytest.approx(record.estimate["seconds"])
    assert "nothing was measured" in view.expected.source


def test_a_command_is_expected_to_take_as_long_as_it_did_before(world: World) -> None:
    first = world.submit("start", *["wait"] * 20, "succeed")
    assert world.record(first).estimate is None
    world.finish()
    again = world.record(world.submit("start", *["wait"] * 20, "succeed"))
    assert again.estimate is not None
    assert again.estimate["seconds"] == pytest.approx(10.5, abs=1.0)


def test_a_command_with_a_time_limit_takes_a_part_of_it(world: World) -> None:
    estimate = world.record(world.submit(time_limit="1000s")).estimate
    assert estimate is not None
    assert estimate["seconds"] == 400


def test_what_a_run_measured_is_kept(world: World) -> None:
    job = world.train("start", *["wait"] * 50)
    world.step(4)
    tell(world, job, **MEASURED)
    tell(world, job, **(MEASURED | {"samples": 9000, "seconds": 900.0}))
    tell(world, job, **(MEASURED | {"workers": 2}))
    world.step(2)
    with world.store.read() as connection:
        found = {record.workers: record for record in measurements.newest(connection)}
    assert set(found) == {1, 2}
    assert (found[1].document["samples"], found[1].kind, found[1].device) == (9000, "regnet", cpu_name())
    assert found[1].document["startup"] is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"features": None},
        {"features": {"flops": "many"}},
        {"workers": 0},
        {"samples": -1},
        {"seconds": "nan"},
        {"memory": 1e30},
    ],
)
def test_what_is_no_measurement_is_left_out_and_the_run_goes_on(world: World, wrong: dict[str, Any]) -> None:
    job = world.train("start", *["wait"] * 8, "succeed")
    world.step(4)
    tell(world, job, **(MEASURED | wrong))
    world.finish()
    assert world.state(job) == "succeeded"
    with world.store.read() as connection:
        assert measurements.newest(connection) == []


def test_jobs_that_wait_are_estimated_anew_when_a_run_has_taught_something(world: World) -> None:
    first = world.train("start", *["wait"] * 10, "succeed", workers="2", train=LONG)
    world.train("start", *["wait"] * 10, "succeed", workers="2", train=LONG)  # which starts when the first has ended
    second = world.train("start", *["wait"] * 10, "succeed", workers="2", train=LONG)
    before = world.record(second)
    world.step(4)
    tell(world, first, **(MEASURED | {"seconds": 5000.0}))
    while world.state(first) != "succeeded":
        world.step()
    after = world.record(second)
    assert before.estimate is not None
    assert after.estimate is not None
    assert after.estimate["error"] < before.estimate["error"]
    assert after.estimate["seconds"] > 2 * before.estimate["seconds"]


def test_the_next_submit_knows_what_was_measured(world: World) -> None:
    first = world.train("start", *["wait"] * 10, "succeed")
    world.step(4)
    tell(world, first, **MEASURED)
    world.finish()
    expected = world.job(world.train("start")).expected
    assert expected is not None
    assert "measurement" in expected.source
    assert "nothing" not in expected.source


RUN = RunRecord(
    id="r",
    job="j",
    number=1,
    token=1,
    allocation="a",
    backend="local",
    state=RunState.RUNNING,
    world_size=2,
    wanted=2,
    slots=2,
    created_at=0.0,
    started_at=10.0,
)
EXPECTED = RunEstimate(1000.0, 0.3, 2, {1: 2000.0, 2: 1000.0}, startup=0.0)


def with_progress(world: World, **progress: Any) -> JobRecord:
    return replace(world.record(world.submit()), progress=progress or None)


def test_what_is_left_is_the_run_s_own_word_and_what_was_expected_together(world: World) -> None:
    job = with_progress(world, done=50.0, total=100.0, eta_seconds=700.0, time=60.0)
    found = left(job, RUN, EXPECTED, 60.0)
    assert found is not None
    assert 500 < found.seconds < 700


def test_a_run_that_says_nothing_has_left_what_it_has_not_run(world: World) -> None:
    found = left(with_progress(world), RUN, EXPECTED, 260.0)
    assert found is not None
    assert found.seconds == pytest.approx(750.0, rel=0.001)
    assert found.low < 750 < found.high


def test_of_a_run_that_tells_of_no_work_the_time_since_its_last_word_counts_once(world: World) -> None:
    """100 seconds after it said that it has done nothing countable, the 250 that it has run count, and not 350."""
    found = left(with_progress(world, done=0, total=0, time=160.0), RUN, EXPECTED, 260.0)
    assert found is not None
    assert found.seconds == pytest.approx(750.0, rel=0.001)


def test_a_run_that_has_outlived_its_estimate_is_not_about_to_end(world: World) -> None:
    late, later = (left(with_progress(world), RUN, EXPECTED, 10.0 + worked) for worked in (1000.0, 3000.0))
    assert late is not None
    assert later is not None
    total = EXPECTED.seconds * math.exp(EXPECTED.error * NormalDist().inv_cdf(0.75))  # half of the slower half
    assert late.seconds == pytest.approx(total - 1000, rel=0.001)
    assert later.seconds > 100
    assert 0 < later.low < later.seconds < later.high


def test_its_limit_counts_from_when_it_started_as_it_is_enforced(world: World) -> None:
    job, started = with_progress(world), replace(RUN, created_at=0.0, started_at=100.0, time_limit=300.0)
    assert left(job, started, EXPECTED, 150.0) == Eta(250.0, 250.0, 250.0)


def test_nonsense_says_nothing(world: World) -> None:
    assert left(with_progress(world, done="half", total={}), RUN, EXPECTED, 10.0) is None


def test_a_running_job_shows_what_is_left(world: World) -> None:
    job = world.train("start", "progress:2", *["wait"] * 50, train=LONG)
    assert world.job(job).left is None
    world.step(6)
    view = world.job(job)
    assert view.state == "running"
    assert view.left is not None
    assert 0 < view.left.low < view.left.seconds < view.left.high


def test_a_command_that_was_submitted_before_one_like_it_ended_is_expected_to_end_as_that_one_did(world: World) -> None:
    first = world.submit("start", *["wait"] * 20, "succeed", resources={"workers": 2})
    second = world.submit("start", *["wait"] * 20, "succeed", resources={"workers": 2})
    while world.state(second) != "running":
        world.step()
    assert world.state(first) == "succeeded"
    end = Questions(world.service.site).why(second).expected_end
    assert end is not None
    assert not end.by_limit
    assert 5 < end.at - world.clock.now() < 12


def test_its_end_is_one_and_the_same_wherever_it_is_told(world: World) -> None:
    job = world.train("start", "progress:2", *["wait"] * 50, workers="2", train=LONG)
    world.step(6)
    waiting, questions = world.submit(), Questions(world.service.site)
    world.step()
    told, queue = questions.why(job).expected_end, questions.queue()
    assert told is not None
    assert world.job(job).left.seconds == pytest.approx(told.at - world.clock.now())  # type: ignore[union-attr]
    assert queue.running[0].expected_end == told
    assert queue.waiting[0].expected_start.at == pytest.approx(told.at)  # type: ignore[union-attr]
    assert f"2 more expected at {utc(told.at)} from {job}" in questions.why(waiting).reason


@pytest.mark.parametrize(
    ("memory", "device", "expected"),
    [(1e9, "cpu:x", 1_000_000_000), (9e9, "cpu:x", 4 * 2**30), (None, "cpu:x", 0), (1e9, "h200", 0)],
)
def test_a_worker_is_reckoned_to_need_what_is_expected_and_no_more_than_its_share_of_a_node(
    memory: float | None, device: str, expected: int
) -> None:
    capacity = Capacity(slots=4, free=4, largest_gang=4, nodes=(NodeFacts("n", 4, 4, memory=16 * 2**30),))
    expects = Expected(RunEstimate(1.0, 0.1, 1, memory=memory, memory_error=0.0), device)
    assert memory_default(expects, capacity, 1) == expected
    assert memory_default(None, capacity, 1) == 0


def test_of_one_that_takes_no_slot_it_is_no_more_than_the_share_that_goes_with_its_cores() -> None:
    expects = Expected(RunEstimate(1.0, 0.1, 1, memory=2.0**40, memory_error=0.0), "cpu:x")
    nodes = (NodeFacts("n", 0, 0, cpus=4, memory=16 * 2**30), NodeFacts("m", 2, 2, cpus=8, memory=64 * 2**30))
    assert memory_default(expects, Capacity(2, 2, 2, "gpu", nodes, cores_apart=True), 0, 2) == 8 * 2**30
