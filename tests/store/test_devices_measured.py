"""Measurements: what one device teaches does not wipe what is known of another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, create_engine

from orchestrator.blueprint.features import Features
from orchestrator.planning.history import measured
from orchestrator.store import measurements
from orchestrator.store.looks import KEPT, MeasurementRecord
from orchestrator.store.tables import measurements as table

DOCUMENT = {"features": Features("regnet", 1e6, 1e5, 1e6, 20, 3072, 16).to_json(), "samples": 10, "seconds": 1.0}


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    table.metadata.create_all(engine)
    with engine.begin() as found:
        yield found
    engine.dispose()


def put(connection: Connection, run: str, device: str, at: float, trial: int = -1) -> None:
    record = MeasurementRecord(run, trial, 1, "j", "regnet", device, at, DOCUMENT)
    measurements.put(connection, record)


def test_a_search_of_a_thousand_trials_leaves_what_is_known_of_another_device(connection: Connection) -> None:
    for number in range(30):
        put(connection, f"r{number}", "h200", float(number))
    for trial in range(2 * KEPT):
        put(connection, "search", "cpu:x", 100.0 + trial, trial)
    found = measured(connection)
    assert sum(m.device == "h200" for m in found) == 30
    assert sum(m.device == "cpu:x" for m in found) == KEPT
    assert len(measured(connection, "NVIDIA H200")) == 30
    assert max(m.at for m in found) == found[0].at == 99.0 + 2 * KEPT


def test_of_each_device_the_newest_are_kept(connection: Connection) -> None:
    for number in range(KEPT + 250):
        put(connection, f"r{number}", "h200", float(number))
    newest = [record.at for record in measurements.newest(connection, limit=10_000)]
    assert KEPT <= len(newest) <= KEPT + 100
    assert newest == [float(KEPT + 249 - place) for place in range(len(newest))]
    assert [record.at for record in measurements.newest(connection, device="h200", limit=2)] == newest[:2]


def test_the_stamp_of_a_device_follows_its_own_measurements_alone(connection: Connection) -> None:
    put(connection, "ahead", "h200", 50.0)
    put(connection, "r", "h200", 1.0)
    before = measurements.stamp(connection, "h200")
    put(connection, "other", "cpu:x", 60.0)
    assert measurements.stamp(connection, "h200") == before
    put(connection, "r", "h200", 2.0)  # in place of the older one, and not the newest
    assert measurements.stamp(connection, "h200") != before
