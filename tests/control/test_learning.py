"""Learning from ended runs happens beside the intake of their ends: it holds nothing up, its errors cost nothing."""

from __future__ import annotations

import logging
import sqlite3
from typing import Any

import pytest
from measured_kit import FEATURES, LONG, tell

from orchestrator.base.hardware import cpu_name
from orchestrator.control import learning
from orchestrator.scheduling.estimates.forecast import forecast
from orchestrator.testing.world import World

MEASURED = {"workers": 1, "device": cpu_name(), "samples": 5000, "seconds": 5000.0, "features": FEATURES.to_json()}


def train(world: World, *, workers: str = "1") -> str:
    return world.train("start", *["wait"] * 8, "succeed", workers=workers, train=LONG)


def test_what_cannot_be_learned_keeps_no_run_s_end_and_is_logged_once(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of a foreign measurement")

    first, second, third = (train(world, workers="2") for _ in range(3))
    monkeypatch.setattr(learning, "forecast_or_none", broken)
    before = world.record(third).estimate
    with caplog.at_level(logging.WARNING):
        for job in (first, second):
            world.step(4)
            tell(world, job, **MEASURED)
            while world.state(job) != "succeeded":
                world.step()
    assert world.record(third).estimate == before
    told = [record for record in caplog.records if record.name == learning.__name__]
    assert len(told) == 1
    assert "keep their estimates" in told[0].message
    assert "cannot be read" not in caplog.text


def test_runs_that_end_together_are_learned_from_once_and_the_store_is_free_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def watched(work: Any, history: Any, device: str) -> Any:
        other = sqlite3.connect(world.root / "store.sqlite", timeout=0)
        other.execute("BEGIN IMMEDIATE")  # refused while anybody writes
        other.rollback()
        other.close()
        calls.append(device)
        return forecast(work, history, device)

    together, _, waiting = [train(world), train(world)], train(world, workers="2"), train(world, workers="2")
    before = world.record(waiting).estimate
    world.step(4)
    for job in together:
        tell(world, job, **MEASURED)
    monkeypatch.setattr(learning, "forecast_or_none", watched)
    while any(world.state(job) != "succeeded" for job in together):
        world.step()
    after = world.record(waiting).estimate
    assert calls == [cpu_name()]
    assert before is not None
    assert after is not None
    assert after["seconds"] > 2 * before["seconds"]


def test_a_job_that_left_the_queue_meanwhile_keeps_its_estimate(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _, second = (train(world, workers="2") for _ in range(3))
    before = world.record(second).estimate

    def cancelled(work: Any, history: Any, device: str) -> Any:
        world.service.cancel(second)
        return forecast(work, history, device)

    monkeypatch.setattr(learning, "forecast_or_none", cancelled)
    world.step(4)
    tell(world, first, **MEASURED)
    world.finish()
    assert world.state(second) == "cancelled"
    assert world.record(second).estimate == before
