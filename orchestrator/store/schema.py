"""A store file made, checked and brought to the newest schema; imports alembic only where there is something to do."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from orchestrator.base.files import sync_folder
from orchestrator.store import faults
from orchestrator.store.tables import SCHEMA_VERSION

_HEADER = b"SQLite format 3\0"
MIGRATIONS = Path(__file__).parent / "migrations"


def prepare(path: Path) -> None:
    """Make `path` a whole store of the newest schema. The caller holds the lock.

    Raises:
        StoreError: damaged, or of a newer version; the file is left as it is.
    """
    if not path.exists():
        _create(path)
        return
    found = _inspect(path)
    if found != SCHEMA_VERSION:
        _upgrade_copy(path, found)


def problems(path: Path) -> list[str]:
    """What `PRAGMA quick_check` finds; empty where the file is whole."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(20)")]
        except sqlite3.DatabaseError as error:
            return [str(error)]
    return [] if found == ["ok"] else found


def _inspect(path: Path) -> str:
    """The schema version of an existing file."""
    with path.open("rb") as file:
        if file.read(len(_HEADER)) != _HEADER:
            raise faults.damaged(path, "it is empty" if path.stat().st_size == 0 else "it is no SQLite database")
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        try:
            found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(20)")]
            if found != ["ok"]:
                raise faults.damaged(path, "; ".join(found)[:500])
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.DatabaseError as error:
            raise faults.damaged(path, str(error)) from error
    if row is None:
        raise faults.damaged(path, "it names no schema version")
    return str(row[0])


def _create(path: Path) -> None:
    """Beside its place, then renamed: a store file is never seen empty unless it was truncated."""
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    _migrate(unfinished)
    _put(unfinished, path)


def _upgrade_copy(path: Path, found: str) -> None:
    """The old file stays as `<name>.<old version>`; a failed migration leaves everything as it was."""
    from alembic.script import ScriptDirectory

    if found not in {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}:
        raise faults.newer(path, found, SCHEMA_VERSION)
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    copy(path, unfinished)
    _migrate(unfinished)
    kept = path.with_name(f"{path.name}.{found}")
    kept.unlink(missing_ok=True)
    os.link(path, kept)
    _put(unfinished, path)


def copy(source: Path, target: Path) -> None:
    """A consistent copy through SQLite's backup interface, what stands in the write-ahead log included."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(sqlite3.connect(source, timeout=10)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode=DELETE")


def _put(unfinished: Path, path: Path) -> None:
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    os.replace(unfinished, path)
    sync_folder(path.parent)


def _migrate(path: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import NullPool, create_engine

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(path), poolclass=NullPool)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
