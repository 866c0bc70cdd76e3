"""Whatever a run writes, it ends as it ended, and the jobs of others go on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.hardware import cpu_name
from orchestrator.blueprint.features import Features
from orchestrator.control import loop
from orchestrator.control.foreign import amount_of, number_of, without_nonsense
from orchestrator.rundir.events import EventWriter
from orchestrator.store import jobs
from orchestrator.testing.world import World

HUGE = 10**400
FEATURES = Features("regnet", 2e8, 2e6, 2.7e6, 44, 3 * 16 * 16, 16, 4).to_json()
MEASURED = {"workers": 1, "device": cpu_name(), "samples": 5000, "seconds": 500.0, "features": FEATURES}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, slots=2)


def say(world: World, job: str, kind: str, **data: Any) -> None:
    EventWriter(world.run_directory(job), "rank-9", 1).append(kind, **data)


PROGRESS = [
    {"done": HUGE, "total": 1},
    {"done": 1, "total": HUGE},
    {"done": math.inf, "total": math.nan},
    {"done": 1, "total": 5e-324},
    {"done": 1, "total": 2, "eta_seconds": HUGE, "nested": [{"x": math.nan}]},
]


@pytest.mark.parametrize("data", PROGRESS, ids=range(len(PROGRESS)))
def test_progress_that_is_none_stops_neither_its_run_nor_the_queue(world: World, data: dict[str, Any]) -> None:
    job = world.submit("start", *["wait"] * 4, "succeed", time_limit="1h")
    other = world.submit("start", *["wait"] * 4, "succeed", time_limit="1h")
    world.step(3)
    say(world, job, "progress", **data)
    world.step(2)
    later = world.submit("start", "succeed")
    world.restart()
    world.finish(60)
    assert [world.state(each) for each in (job, other, later)] == ["succeeded"] * 3
    json.dumps(world.job(job).model_dump(mode="json"), allow_nan=False)


def test_a_row_with_such_progress_already_stops_nothing_either(world: World) -> None:
    job, waiting = world.submit("start", *["wait"] * 4, "succeed"), world.submit("start", "succeed")
    world.step(3)
    with world.store.write() as connection:
        jobs.set_columns(connection, jobs.get(connection, job), progress={"done": HUGE, "total": 1, "time": 1})
        estimate = {"seconds": math.inf, "error": 0.5}
        jobs.set_columns(connection, jobs.get(connection, waiting), estimate=estimate, needs=["no mapping"])
    world.submit("start", "succeed")
    world.step(20)
    assert [view.state for view in world.service.list()] == ["succeeded", world.state(waiting), "succeeded"]


MEASUREMENTS = [
    {"workers": math.inf},
    {"samples": HUGE},
    {"features": FEATURES | {"flops": HUGE}},
    {"device": "\ud800"},
    {"trial": 10**30},
    {"features": {"family": "\ud800"}},
]


@pytest.mark.parametrize("data", MEASUREMENTS, ids=range(len(MEASUREMENTS)))
def test_a_measurement_that_is_none_does_not_turn_a_success_into_a_failure(world: World, data: dict[str, Any]) -> None:
    job = world.train("start", *["wait"] * 3, "succeed", workers="1")
    world.step(3)
    say(world, job, "measured", **MEASURED | data)
    world.finish(60)
    assert world.state(job) == "succeeded"
    assert [run.state for run in world.job(job).runs] == ["succeeded"]


POISON = [
    {"features": FEATURES | {"flops": math.inf}},
    {"features": FEATURES | {"params": 1e308}},
    {"features": FEATURES | {"layers": 10**320}},
    {"features": FEATURES | {"slice_samples": 10**320}},
    {"features": FEATURES | {"optimizer_slots": 10**320}},
    {"memory": 1e-320},
    {"epochs": 1e-320, "epoch_seconds": 1e17},
    {"evaluated": 1e-320, "evaluation_seconds": 1e17},
]


@pytest.mark.parametrize("data", POISON, ids=range(len(POISON)))
def test_no_measurement_keeps_later_jobs_from_the_queue(world: World, data: dict[str, Any]) -> None:
    job = world.train("start", *["wait"] * 3, "succeed", workers="1")
    world.step(3)
    say(world, job, "measured", **MEASURED | data)
    world.finish(60)
    view = world.job(world.train("start", "succeed", workers="1", name="later"))
    assert view.state == "queued"
    with world.store.read() as connection:
        found = jobs.get(connection, view.id).estimate
    assert found is not None
    assert all(map(math.isfinite, found.values()))


def test_a_forecast_that_fails_means_that_nobody_has_an_idea(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("math domain error")

    monkeypatch.setattr("orchestrator.planning.estimate.forecast", broken)
    job = world.train("start", "succeed", workers="1")
    with world.store.read() as connection:
        assert jobs.get(connection, job).estimate is None


def test_an_event_that_cannot_be_taken_in_keeps_no_end_from_the_store(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OverflowError("too large")

    monkeypatch.setattr("orchestrator.control.ingest.take", broken)
    job = world.train("start", "wait", "succeed", workers="1")
    world.step(3)
    say(world, job, "measured", **MEASURED)
    world.finish(60)
    assert [run.state for run in world.job(job).runs] == ["succeeded"]


def test_a_run_whose_last_word_cannot_be_read_is_in_trouble_not_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = world.submit("start", "wait", "succeed")
    world.step(2)

    def broken(*_: object) -> None:
        raise RuntimeError("somebody is writing there")

    with monkeypatch.context() as patched:
        patched.setattr(loop, "ingest", broken)
        world.step(6)
    assert "in trouble" in world.job(job).reason
    assert "somebody is writing there" in world.job(job).reason
    world.finish(60)
    assert [run.state for run in world.job(job).runs] == ["succeeded"]


def test_events_with_times_and_data_that_are_none_are_passed_over(world: World) -> None:
    job = world.submit("start", "wait", "wait", "wait", "succeed")
    world.step(3)
    folder = world.run_directory(job).events / "rank-8"
    folder.mkdir()
    whole: dict[str, Any] = {"time": 1.0, "token": 1, "kind": "message", "data": {}}
    broken: list[dict[str, Any]] = [{"time": HUGE}, {"time": math.nan}, {"token": math.inf}, {"data": []}, {}]
    for number, wrong in enumerate(broken):
        (folder / f"{number:08d}.json").write_text(json.dumps(whole | wrong))
    world.finish(60)
    assert [run.state for run in world.job(job).runs] == ["succeeded"]


def test_numbers_are_finite_and_amounts_are_none_or_not_next_to_nothing() -> None:
    assert [number_of(each) for each in (1, -2.5, True, "1", HUGE, math.inf, math.nan)] == [1, -2.5, *[None] * 5]
    assert amount_of(0) == 0
    for wrong in (5e-324, -1, None):
        with pytest.raises(ValueError, match="no amount"):
            amount_of(wrong)
    kept = {"best": {"a": [1, "b"]}, "flag": True, "word": "x"}
    assert without_nonsense(kept | {"huge": HUGE, "deep": {"a": [{"b": math.inf}]}}) == kept
