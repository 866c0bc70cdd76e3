"""What SQLite says when something is wrong, turned into what a person can do about it."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from orchestrator.base.errors import StoreError
from orchestrator.base.text import binary

RESTORE = (
    "stop the server, move the file and its -wal and -shm aside, and copy a backup to its place; "
    "running jobs are not touched"
)
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_SHMSIZE")


def translate(error: BaseException, path: Path) -> StoreError | None:
    """The error to show instead; None where it is a mistake of ours that must stay visible."""
    if not isinstance(error, sqlite3.Error):
        return None
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(_DAMAGED):
        return damaged(path, str(error))
    if name.startswith(_NO_ROOM):
        return StoreError(
            f"{path} cannot grow ({error}); {binary(free_bytes(path.parent))} are free there",
            hint="nothing was changed; free some space and try again",
        )
    if isinstance(error, sqlite3.OperationalError):
        return StoreError(f"{path}: {error} ({name})", hint="nothing was changed; look at the disk and its permissions")
    return None


def damaged(path: Path, detail: str) -> StoreError:
    """The file is not a whole database."""
    return StoreError(f"{path} is damaged: {detail}", hint=RESTORE)


def newer(path: Path, found: str, known: str) -> StoreError:
    """The file was written by a newer version."""
    return StoreError(
        f"{path} has schema {found}, which this version does not know (it knows {known})",
        hint="install the version of orchestrator that wrote it, or a newer one; nothing was changed",
    )


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write there."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
