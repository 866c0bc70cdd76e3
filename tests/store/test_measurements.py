"""Measurements and works: written once, replaced, forgotten, and looked at beside a server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from store_records import JOB

from orchestrator.lifecycle.states import RunState
from orchestrator.store import jobs, looks, measurements, runs, schema
from orchestrator.store.database import Store, open_store
from orchestrator.store.looks import MeasurementRecord
from orchestrator.store.records import RunRecord
from orchestrator.testing.clock import SimulatedClock

CLOCK = SimulatedClock()
RUN = RunRecord(
    id="j-1-r1",
    job="j-1",
    number=1,
    token=1,
    allocation="j-1-r1.0",
    backend="local",
    state=RunState.SUCCEEDED,
    world_size=2,
    wanted=2,
    slots=2,
    created_at=1.0,
    started_at=5.0,
    ended_at=25.0,
)
RECORD = MeasurementRecord("j-1-r1", -1, 2, "j-1", "regnet", "h200", 10.0, {"seconds": 1.5, "features": {"a": 1}})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = open_store(path, clock=CLOCK)
    with opened.write() as connection:
        jobs.insert(connection, JOB)
    yield opened
    opened.close()


def test_what_was_measured_is_read_back(store: Store) -> None:
    with store.write() as connection:
        measurements.put(connection, RECORD)
        measurements.put(connection, replace(RECORD, workers=1, device="cpu:x", at=20.0))
    with store.read() as connection:
        assert [found.workers for found in measurements.newest(connection)] == [1, 2]
        assert measurements.newest(connection, device="h200") == [RECORD]
        assert measurements.devices(connection, "j-1-r1") == ["cpu:x", "h200"]
        assert measurements.stamp(connection, "h200") == (1, 10.0, 10.0)


def test_the_newest_word_on_a_world_counts(store: Store) -> None:
    with store.write() as connection:
        measurements.put(connection, RECORD)
        measurements.put(connection, replace(RECORD, at=30.0, document={"seconds": 9.0}))
        [found] = measurements.newest(connection)
    assert (found.at, found.document) == (30.0, {"seconds": 9.0})


def test_the_oldest_are_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "KEPT", 10)
    monkeypatch.setattr(measurements, "_SPARE", 5)
    with store.write() as connection:
        for number in range(40):
            measurements.put(connection, replace(RECORD, run=f"r{number}", at=float(number)))
        kept = measurements.newest(connection)
    assert 10 <= len(kept) <= 15
    assert kept[0].at == 39.0


def test_run_times_of_what_succeeded(store: Store) -> None:
    failed = replace(RUN, id="j-1-r2", number=2, allocation="b", state=RunState.FAILED)
    with store.write() as connection:
        runs.insert(connection, RUN)
        runs.insert(connection, failed)
        [found] = measurements.finished(connection)
        assert measurements.finished(connection, name="other") == []
    assert (found.name, found.owner, found.content, found.seconds, found.workers) == ("job", "ann", "c", 20.0, 2)


def test_run_times_of_many_names_are_those_of_each(store: Store) -> None:
    with store.write() as connection:
        for number, name in enumerate(["a", "b", "a", "c"], 2):
            jobs.insert(connection, replace(JOB, id=f"j-{number}", name=name))
            ended = replace(
                RUN, id=f"j-{number}-r1", job=f"j-{number}", allocation=f"x{number}", ended_at=50.0 + number
            )
            runs.insert(connection, ended)
        found = measurements.finished_of(connection, ["a", "b", "none"])
        assert found == {name: measurements.finished(connection, name=name) for name in ("a", "b")}
    assert len(found["a"]) == 2


def test_of_a_job_that_went_on_from_a_checkpoint_no_single_run_is_the_whole(store: Store) -> None:
    with store.write() as connection:
        jobs.insert(connection, replace(JOB, id="j-2", kind="regnet"))
        runs.insert(connection, replace(RUN, id="j-2-r2", job="j-2", number=2))
        assert measurements.finished(connection) == []


def test_works_are_kept_and_found_for_jobs_that_wait_for_their_device(store: Store) -> None:
    with store.write() as connection:
        jobs.insert(connection, replace(JOB, id="j-2"))
        jobs.insert(connection, replace(JOB, id="j-3"))
        for job, device in (("j-1", "h200"), ("j-2", "h200"), ("j-3", "a100")):
            measurements.put_work(connection, job, device, {"work": job})
        measurements.put_work(connection, "j-1", "h200", {"work": "newer"})
        jobs.set_columns(connection, jobs.get(connection, "j-2"), worked=5.0)
        assert measurements.works_of(connection, ["j-1", "j-3", "j-9"]) == {
            "j-1": {"work": "newer"},
            "j-3": {"work": "j-3"},
        }
        assert measurements.waiting(connection, "h200", limit=10) == [("j-1", {"work": "newer"})]


def test_a_store_that_a_server_has_open_can_be_looked_at_and_not_written(store: Store, path: Path) -> None:
    with store.write() as connection:
        measurements.put(connection, RECORD)
    with looks.looking(path) as ask:
        assert ask is not None
        assert looks.newest(ask) == [RECORD]
        with pytest.raises(looks.UNREADABLE):
            ask("DELETE FROM measurements", {})


def test_where_there_is_no_store_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    with looks.looking(tmp_path / "none.db") as ask:
        assert ask is None


def test_a_store_of_before_measured_nothing_and_can_from_now_on(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as fourth:
        older = tmp_path / "older"
        shutil.copytree(schema.MIGRATIONS, older)
        for script in (older / "versions").glob("v*.py"):
            if script.name[1:5] > "0004":
                script.unlink()
        fourth.setattr(schema, "MIGRATIONS", older)
        schema.prepare(path)
    with looks.looking(path) as ask:
        assert ask is not None
        with pytest.raises(looks.UNREADABLE):
            looks.newest(ask)
    opened = open_store(path, clock=CLOCK)
    with opened.write() as connection:
        jobs.insert(connection, JOB)
        assert measurements.newest(connection) == []
        measurements.put(connection, RECORD)
        assert measurements.newest(connection) == [RECORD]
    opened.close()
