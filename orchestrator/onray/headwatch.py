"""Whether the head of a cluster's Ray is there, for a process that dies with it: it says in time of what.

While a head is away Ray waits for it. When another one answers in its place, Ray's own code ends the process at once
(SIGABRT, or an error in whatever is going on); after a minute without any it does so, too.
"""

from __future__ import annotations

import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.rundir.layout import RunDirectory
from orchestrator.runtime.environment import RUN_DIR, WORKER
from orchestrator.runtime.markers import leave_will, withdraw_will

LOST = "the head of the Ray cluster was lost"
_LOOK_SECONDS = 0.25
_ANSWER_SECONDS = 3.0
_AFTERMATH_SECONDS = 30.0
"""Who fails so soon after a silence fails because of it."""
_PATIENCE_SECONDS = 50.0
"""Less than the minute after which Ray ends the process."""


@dataclass(frozen=True)
class Will:
    """Where a rank leaves word for the case that it dies without any.

    Attributes:
        run: the run's directory.
        rank: of this process.
    """

    run: RunDirectory
    rank: int

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Will:
        """By the environment of a rank."""
        number = environment.get(WORKER) or environment["RANK"]
        return cls(RunDirectory(Path(environment[RUN_DIR])), int(number))

    def leave(self) -> None:
        """From now on the head is to blame."""
        try:
            leave_will(self.run, self.rank, LOST)
        except OSError as error:  # a full disk: the exit code has to do
            sys.stderr.write(f"no will left: {error}\n")

    def withdraw(self) -> None:
        """From now on it is not."""
        try:
            withdraw_will(self.run, self.rank)
        except OSError as error:
            sys.stderr.write(f"the will stays: {error}\n")


class HeadWatch:
    """Holds a connection to the head, by which the head's death is noticed at once.

    Args:
        address: `host:port` of Ray's control store.
        on_lost: called, from another thread, when nothing has answered for 50 s; a head that comes back with its
            memory until then finds this process at work.
        will: left while the head is away and for a while after.
    """

    def __init__(self, address: str, on_lost: Callable[[str], None], will: Will) -> None:
        host, _, port = address.rpartition(":")
        self._address, self._on_lost, self._will = (host, int(port)), on_lost, will
        self._over = threading.Event()
        self._silent_since: float | None = None
        self._doubted_until = float("-inf")
        self._thread = threading.Thread(target=self._watch, name="ray-watch", daemon=True)
        self._thread.start()

    @property
    def doubtful(self) -> bool:
        """Whether what fails now may have failed because of the head."""
        return self._silent_since is not None or time.monotonic() < self._doubted_until

    def close(self) -> None:
        """Look no longer; a will that was left is withdrawn."""
        self._over.set()
        self._thread.join()
        self._will.withdraw()

    def _watch(self) -> None:
        while not self._over.is_set():
            try:
                connection = socket.create_connection(self._address, _ANSWER_SECONDS)
            except OSError:
                self._unanswered()
                self._over.wait(_LOOK_SECONDS)
                continue
            with connection:
                self._hold(connection)

    def _hold(self, connection: socket.socket) -> None:
        """Until it breaks; the head also ends one by itself on which nothing is said."""
        if self._silent_since is not None:
            self._silent_since, self._doubted_until = None, time.monotonic() + _AFTERMATH_SECONDS
        while not self._over.is_set():
            if not self.doubtful and self._doubted_until > float("-inf"):
                self._doubted_until = float("-inf")
                self._will.withdraw()
            if select.select([connection], [], [], _LOOK_SECONDS)[0] and not _more(connection):
                return

    def _unanswered(self) -> None:
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
            self._will.leave()
        if now - self._silent_since > _PATIENCE_SECONDS and not self._over.is_set():
            self._over.set()
            self._on_lost("head")


def _more(connection: socket.socket) -> bool:
    """Whether the other side said something, and not that it goes."""
    try:
        return bool(connection.recv(4096))
    except OSError:
        return False
