"""Who writes the store: a lock on this machine, and a lease row whose token refuses an earlier holder's writes."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import Connection, select, update

from orchestrator.base.errors import Fenced, StoreError
from orchestrator.base.files import read_json
from orchestrator.base.process import ProcessIdentity
from orchestrator.store.tables import lease


@dataclass(frozen=True)
class Holder:
    """A process that has the store open.

    Attributes:
        host: its machine.
        pid: its process.
        start_ticks: tells it from a later process with the same pid.
        since: seconds since the epoch.
    """

    host: str
    pid: int
    start_ticks: int
    since: float

    @classmethod
    def current(cls, now: float) -> Holder:
        """This process."""
        identity = ProcessIdentity.current()
        return cls(socket.gethostname(), identity.pid, identity.start_ticks, now)

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


class StoreLock:
    """An exclusive lock beside the store; the kernel frees it when its holder dies, however it dies."""

    def __init__(self, path: Path, holder: Holder) -> None:
        """Take the lock.

        Raises:
            StoreError: another process has it; the message names it.
        """
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            raise StoreError(
                f"{path.with_suffix('')} is in use by {_name(path)}",
                hint="one server writes a store; stop the other one, or use its address (ORCHESTRATOR_URL)",
            ) from None
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, holder.to_json().encode(), 0)

    def release(self) -> None:
        """Let the next one in."""
        os.close(self._handle)


def take(connection: Connection, holder: Holder) -> int:
    """Make `holder` the one whose writes count.

    Returns:
        The new fencing token, higher than every earlier holder's.
    """
    token = connection.execute(select(lease.c.token)).scalar_one_or_none()
    values = {"holder": holder.to_json(), "token": (token or 0) + 1, "acquired_at": holder.since}
    if token is None:
        connection.execute(lease.insert().values(id=1, **values))
    else:
        connection.execute(update(lease).values(**values))
    return (token or 0) + 1


def check(connection: Connection, token: int) -> None:
    """Called in every write transaction.

    Raises:
        Fenced: another holder has taken the store over.
    """
    row = connection.execute(select(lease.c.token, lease.c.holder)).first()
    if row is None or row.token != token:
        raise Fenced(
            f"the store was taken over by {row.holder if row else 'nobody known'}; this server's writes are refused",
            hint="this server must stop",
        )


def _name(path: Path) -> str:
    document = read_json(path)
    if document is None:
        return "another process"
    return f"process {document.get('pid')} on {document.get('host')}"
