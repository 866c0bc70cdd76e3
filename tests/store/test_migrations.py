"""A store of an earlier version is brought forward on a copy."""

import json
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from store_records import JOB

from orchestrator.store import jobs, runs, schema
from orchestrator.store.database import open_store
from orchestrator.store.tables import SCHEMA_VERSION
from orchestrator.testing.clock import SimulatedClock

STEP = """
import sqlalchemy as sa
from alembic import op
revision = "next"
down_revision = "{current}"
def upgrade():
    op.add_column("jobs", sa.Column("colour", sa.String(10)))
    {more}
"""


def newer_version(folder: Path, monkeypatch: pytest.MonkeyPatch, more: str = "") -> None:
    """From here on this is a version whose schema has one more step."""
    shutil.copytree(schema.MIGRATIONS, folder)
    (folder / "versions" / "next.py").write_text(STEP.format(more=more, current=SCHEMA_VERSION))
    monkeypatch.setattr(schema, "MIGRATIONS", folder)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", "next")


def versions_until(last: str, folder: Path) -> None:
    """The migrations that a version had whose newest was `last`."""
    shutil.copytree(schema.MIGRATIONS, folder)
    for path in (folder / "versions").glob("v*.py"):
        if path.name[1:5] > last:
            path.unlink()


def prepare_as_before(path: Path, last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store as a version made it whose newest migration was `last`."""
    with monkeypatch.context() as before:
        versions_until(last, path.parent / last)
        before.setattr(schema, "MIGRATIONS", path.parent / last)
        schema.prepare(path)


def columns(path: Path, table: str = "jobs") -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def insert(path: Path, table: str, row: Mapping[str, object]) -> None:
    """Add a row, as far as the table has its columns."""
    known = {name: value for name, value in row.items() if name in columns(path, table)}
    names, values = ", ".join(known), ", ".join(f":{name}" for name in known)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"INSERT INTO {table} ({names}) VALUES ({values})", known)


def test_an_older_store_is_migrated_and_the_old_file_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.sqlite"
    open_store(path, clock=SimulatedClock()).close()
    newer_version(tmp_path / "migrations", monkeypatch)
    open_store(path, clock=SimulatedClock()).close()
    assert "colour" in columns(path)
    assert "colour" not in columns(tmp_path / f"store.sqlite.{SCHEMA_VERSION}")
    open_store(path, clock=SimulatedClock()).close()


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.sqlite"
    open_store(path, clock=SimulatedClock()).close()
    before = path.read_bytes()
    newer_version(tmp_path / "migrations", monkeypatch, more="raise RuntimeError('cannot')")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="cannot"):
            open_store(path, clock=SimulatedClock())
    assert path.read_bytes() == before


def test_jobs_of_the_first_version_have_recorded_no_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.sqlite"
    prepare_as_before(path, "0001", monkeypatch)
    insert(path, "jobs", JOB.to_row())
    store = open_store(path, clock=SimulatedClock())
    with store.read() as connection:
        assert jobs.get(connection, "j-1") == replace(JOB, sequence=1, waits_since=1.0)
    store.close()


def test_runs_of_before_want_the_workers_that_they_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.sqlite"
    prepare_as_before(path, "0002", monkeypatch)
    old = {"id": "j-1-r1", "job": "j-1", "number": 1, "token": 1, "allocation": "j-1-r1.0", "backend": "local"}
    old |= {"state": "running", "world_size": 3, "slots": 3, "released": False, "cursors": "{}", "message": ""}
    insert(path, "jobs", JOB.to_row())
    insert(path, "runs", old | {"created_at": 1.0})
    store = open_store(path, clock=SimulatedClock())
    with store.read() as connection:
        run = runs.get(connection, "j-1-r1")
    store.close()
    assert run is not None
    assert (run.world_size, run.wanted, run.resizing_from, run.goodput) == (3, 3, None, {})


@pytest.mark.parametrize(("kind", "elastic"), [("command", False), ("regnet", True), ("regnet search", False)])
def test_only_trainings_of_before_can_be_resized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, elastic: bool
) -> None:
    path = tmp_path / "store.sqlite"
    prepare_as_before(path, "0003", monkeypatch)
    insert(path, "jobs", replace(JOB, kind=kind).to_row())
    store = open_store(path, clock=SimulatedClock())
    with store.read() as connection:
        assert jobs.get(connection, "j-1").elastic is elastic
    store.close()


@pytest.mark.parametrize(
    ("slots", "cpus"),
    [
        pytest.param(2, {"cpus": 4}, id="slots are GPUs"),
        pytest.param(4, {}, id="slots are cores"),
    ],
)
def test_jobs_queued_before_needs_were_kept_get_those_of_their_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slots: int, cpus: dict[str, int]
) -> None:
    path = tmp_path / "store.sqlite"
    prepare_as_before(path, "0003", monkeypatch)
    asked = {"cpus_per_worker": 4, "gpus_per_worker": 2, "memory_per_worker": 1024, "not_on": ["a"], "same_rack": True}
    resources = asked | {"placement": "anywhere", "gpu_types": []}
    document = json.dumps({"name": "job", "time_limit": 60.0, "resources": resources})
    insert(path, "jobs", replace(JOB, workload=document, slots_per_worker=slots).to_row())
    insert(path, "jobs", replace(JOB, id="j-2", workload="nothing").to_row())
    insert(path, "jobs", replace(JOB, id="j-3", workload=document, finished_at=9.0).to_row())
    store = open_store(path, clock=SimulatedClock())
    with store.read() as connection:
        found = [jobs.get(connection, f"j-{number}") for number in (1, 2, 3)]
    store.close()
    needs = {"memory": 1024, "not_on": ["a"], "same_rack": True, "anywhere": True} | cpus
    assert [(job.needs, job.time_limit) for job in found] == [(needs, 60.0), ({}, None), ({}, None)]


@pytest.mark.parametrize(
    ("resize", "was", "becomes"),
    [
        pytest.param({"wanted": 4, "resizing_from": 2, "smaller": '[["a", 2]]'}, 2, 4, id="it grows"),
        pytest.param({"wanted": 2, "resizing_from": 4, "smaller": '[["a", 2]]'}, 4, 2, id="it shrinks"),
        pytest.param({"wanted": 4}, None, None, id="it is not resized"),
    ],
)
def test_a_run_in_the_middle_of_a_resize_of_before_knows_where_it_begins_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resize: dict[str, object], was: int | None, becomes: int | None
) -> None:
    path = tmp_path / "store.sqlite"
    prepare_as_before(path, "0005", monkeypatch)
    old = {"id": "j-1-r1", "job": "j-1", "number": 1, "token": 1, "allocation": "j-1-r1.0", "backend": "local"}
    old |= {"state": "running", "world_size": 3, "slots": 4, "released": False, "cursors": "{}", "message": ""}
    insert(path, "jobs", JOB.to_row())
    insert(path, "runs", old | {"placement": '[["a", 4]]', "created_at": 1.0} | resize)
    store = open_store(path, clock=SimulatedClock())
    with store.read() as connection:
        run = runs.get(connection, "j-1-r1")
    store.close()
    placed = [None if workers is None else (("a", workers),) for workers in (was, becomes)]
    assert run is not None
    assert [run.was, run.becomes] == placed
    assert "smaller" not in columns(path, "runs")


def test_teams_of_a_store_of_before_are_found_by_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.sqlite"
    prepare_as_before(path, "0006", monkeypatch)
    insert(path, "jobs", replace(JOB, team="lab").to_row())
    store = open_store(path, clock=SimulatedClock())
    with store.read() as connection:
        assert (jobs.has_team(connection, "lab"), jobs.has_team(connection, "other")) == (True, False)
        plan = connection.execute(text("EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE team = 'lab' LIMIT 1")).all()
    store.close()
    assert "ix_jobs_team" in str(plan)
