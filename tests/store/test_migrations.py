"""A store of an earlier version is brought forward on a copy."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.lifecycle.states import JobState
from orchestrator.store import jobs, runs, schema
from orchestrator.store.database import open_store
from orchestrator.store.records import JobRecord
from orchestrator.store.tables import SCHEMA_VERSION
from orchestrator.testing.clock import SimulatedClock

JOB = JobRecord(
    id="j-1",
    name="job",
    kind="command",
    owner="ann",
    team="default",
    priority=0,
    state=JobState.QUEUED,
    reason="queued",
    profile="local",
    workload="{}",
    workdir="here",
    content="c",
    workers_min=1,
    workers_max=1,
    slots_per_worker=1,
    created_at=1.0,
)
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


def columns(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        names = {row[1] for row in connection.execute("PRAGMA table_info(jobs)")}
    connection.close()
    return names


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
    with monkeypatch.context() as first:
        shutil.copytree(schema.MIGRATIONS, tmp_path / "first")
        for later in ("v0002_environment.py", "v0003_elastic.py"):
            (tmp_path / "first" / "versions" / later).unlink()
        first.setattr(schema, "MIGRATIONS", tmp_path / "first")
        schema.prepare(path)
    row = {name: value for name, value in JOB.to_row().items() if name != "environment"}
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({', '.join(':' + n for n in row)})", row)
    store = open_store(path, clock=SimulatedClock())
    with store.read() as connection:
        assert jobs.get(connection, "j-1") == replace(JOB, sequence=1)
    store.close()


def test_runs_of_before_want_the_workers_that_they_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.sqlite"
    with monkeypatch.context() as second:
        shutil.copytree(schema.MIGRATIONS, tmp_path / "second")
        (tmp_path / "second" / "versions" / "v0003_elastic.py").unlink()
        second.setattr(schema, "MIGRATIONS", tmp_path / "second")
        schema.prepare(path)
    old = {"id": "j-1-r1", "job": "j-1", "number": 1, "token": 1, "allocation": "j-1-r1.0", "backend": "local"}
    old |= {"state": "running", "world_size": 3, "slots": 3, "released": False, "cursors": "{}", "message": ""}
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, row in (("jobs", JOB.to_row()), ("runs", old | {"created_at": 1.0})):
            names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
            connection.execute(f"INSERT INTO {table} ({names}) VALUES ({values})", row)
    store = open_store(path, clock=SimulatedClock())
    with store.read() as connection:
        run = runs.get(connection, "j-1-r1")
    store.close()
    assert run is not None
    assert (run.world_size, run.wanted, run.resizing_from, run.goodput) == (3, 3, None, {})
