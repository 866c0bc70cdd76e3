"""A store of an earlier version is brought forward on a copy."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from orchestrator.store import schema
from orchestrator.store.database import open_store
from orchestrator.testing.clock import SimulatedClock

STEP = """
import sqlalchemy as sa
from alembic import op
revision = "0002"
down_revision = "0001"
def upgrade():
    op.add_column("jobs", sa.Column("colour", sa.String(10)))
    {more}
"""


def newer_version(folder: Path, monkeypatch: pytest.MonkeyPatch, more: str = "") -> None:
    """From here on this is a version whose schema has one more step."""
    shutil.copytree(schema.MIGRATIONS, folder)
    (folder / "versions" / "v0002_next.py").write_text(STEP.format(more=more))
    monkeypatch.setattr(schema, "MIGRATIONS", folder)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", "0002")


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
    assert "colour" not in columns(tmp_path / "store.sqlite.0001")
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
