"""`open_store`: one process, one writing connection; readers on connections of their own see whole transactions."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, QueuePool, StaticPool, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import Pool

from orchestrator.base.clock import Clock
from orchestrator.base.errors import StoreError
from orchestrator.store import jobs, lease, schema
from orchestrator.store.faults import translate
from orchestrator.store.filesystem import refuse_network_file_system

_SQLITE = "sqlite:///"
_REMEMBERED = 1000
"""Changes of the queue that are remembered."""
_MANY = 1000
"""Of a change of more jobs than that it is not remembered which they were."""


def open_store(url_or_path: str | Path, *, clock: Clock, type_of: Callable[[Path], str] | None = None) -> Store:
    """Open a store, made or migrated where it must be, and become its only writer.

    Args:
        url_or_path: a path, or `sqlite:///<path>`.
        clock: for the lease.
        type_of: the type of a folder's file system; default: what the kernel says.

    Raises:
        StoreError: another process has it open, it is damaged, of a newer version, or on a network file system.
    """
    path = _path_of(url_or_path)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    refuse_network_file_system(path.parent, type_of)
    holder = lease.Holder.current(clock.now())
    lock = lease.StoreLock(path.with_name(path.name + ".lock"), holder)
    try:
        schema.prepare(path)
        return Store(path, lock, holder)
    except sqlite3.Error as error:
        lock.release()
        raise (translate(error, path) or StoreError(f"{path}: {error}")) from error
    except BaseException:
        lock.release()
        raise


class Store:
    """An open store; `write` and `read` hand out connections for the functions of `jobs`, `runs` and so on."""

    def __init__(self, path: Path, lock: lease.StoreLock, holder: lease.Holder) -> None:
        self.path = path
        self._lock = lock
        self._writing = threading.Lock()
        self._version = self._queue_version = 0
        self._changes: tuple[tuple[int, Collection[str] | None], ...] = ()
        # The same connection writes and checkpoints: with two, SQLite before 3.51.3 can corrupt a WAL database.
        self._writer = _engine(path, "BEGIN IMMEDIATE", ("synchronous=FULL", "foreign_keys=ON"), StaticPool)
        self._readers = _engine(path, "BEGIN", ("query_only=ON", "wal_autocheckpoint=0"), QueuePool)
        with self._translated(), self._writer.begin() as connection:
            self._token = lease.take(connection, holder)

    @property
    def version(self) -> int:
        """Rises with each write; equal numbers mean that nothing has changed in between."""
        return self._version

    @property
    def queue_version(self) -> int:
        """Rises with each write that changes a job that waits, or which ones do."""
        return self._queue_version

    def queue_changes(self, since: int) -> Collection[str] | None:
        """Jobs that were changed by writes after that version of the queue; None: which ones is not remembered."""
        changes = self._changes
        missed = self._queue_version > since and (not changes or changes[0][0] > since + 1)
        recent = [jobs for version, jobs in changes if version > since]
        if missed or any(jobs is None for jobs in recent):
            return None
        return {job for jobs in recent for job in jobs or ()}

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: committed and on the disk when the block ends, undone when it raises.

        Raises:
            Fenced: another server has taken the store over.
            StoreError: the disk is full or the file damaged; nothing was changed.
        """
        with self._writing:
            with self._translated(), self._writer.begin() as connection:
                connection.info.pop(jobs.QUEUE_CHANGES, None)
                lease.check(connection, self._token)
                yield connection
                changed: set[str] = connection.info.pop(jobs.QUEUE_CHANGES, set())
            if changed:
                self._remember(changed)  # before the other one: who sees that reads at least this
            self._version += 1  # after the commit: who reads this number sees at least what it stands for

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent look at everything that was committed before."""
        with self._translated(), self._readers.connect() as connection:
            yield connection

    def _remember(self, changed: Collection[str]) -> None:
        version = self._queue_version + 1
        self._changes = (*self._changes[1 - _REMEMBERED :], (version, changed if len(changed) <= _MANY else None))
        self._queue_version = version

    def backup(self, target: Path) -> None:
        """A consistent copy at `target`, which must not exist, while work goes on.

        Raises:
            StoreError: the target exists, or cannot be written.
        """
        try:
            schema.copy(self.path, target)
        except FileExistsError:
            raise StoreError(f"{target} exists", hint="name a new file") from None
        except sqlite3.Error as error:
            target.unlink(missing_ok=True)
            raise (translate(error, target) or StoreError(f"{target}: {error}")) from error

    def verify(self) -> list[str]:
        """What is wrong with the file; empty where it is whole."""
        return schema.problems(self.path)

    def close(self) -> None:
        """Readers first, so that the writing connection makes the last checkpoint."""
        self._readers.dispose()
        with self._writing:
            self._writer.dispose()
        self._lock.release()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            shown = translate(error.orig, self.path) if error.orig else None
            if shown is None:
                raise
            raise shown from error


def _path_of(url_or_path: str | Path) -> Path:
    text = str(url_or_path)
    if text.startswith(_SQLITE):
        return Path(text.removeprefix(_SQLITE))
    if "://" in text:
        raise StoreError(f"{text.split('://')[0]} is no known kind of store", hint="give a path, or sqlite:///<path>")
    return Path(text)


def _engine(path: Path, begin: str, pragmas: tuple[str, ...], pool: type[Pool]) -> Engine:
    def connect() -> sqlite3.Connection:
        # isolation_level=None: transactions begin where SQLAlchemy says so, not where the driver guesses.
        connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", *pragmas):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=pool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
