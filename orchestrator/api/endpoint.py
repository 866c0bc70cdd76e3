"""How a command finds the embedded server: `server/server.json` in the state directory, and the locks beside it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.base.errors import Conflict, TimedOut
from orchestrator.base.files import read_json, write_json
from orchestrator.base.paths import state_dir
from orchestrator.base.process import ProcessIdentity

_ONE_SERVER = "each state directory has one server; `orchestrator serve --stop` ends it (its jobs go on)"


@dataclass(frozen=True)
class Endpoint:
    """A server of this user on this host.

    Attributes:
        url: where it listens.
        token: the admin's token.
        pid: its process.
        start_ticks: with pid: which process exactly.
        version: of the package that it runs.
        profile: the cluster that it serves.
    """

    url: str
    token: str
    pid: int
    start_ticks: int
    version: str
    profile: str

    def alive(self) -> bool:
        """Whether that very process still runs."""
        return ProcessIdentity(self.pid, self.start_ticks).alive()

    def leads_to(self, other: Endpoint) -> bool:
        """Whether a command that follows it reaches that very server, with its token."""
        return (self.url, self.token, self.pid, self.start_ticks) == (
            other.url,
            other.token,
            other.pid,
            other.start_ticks,
        )


def server_folder() -> Path:
    """The folder of server.json, the log and the locks; only its user may look in."""
    folder = state_dir() / "server"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def read_endpoint() -> Endpoint | None:
    """The server that runs now; None where there is none, or only the word of a dead one."""
    document = read_json(state_dir() / "server" / "server.json")
    try:
        endpoint = None if document is None else Endpoint(**document)
    except TypeError:
        return None
    return endpoint if endpoint is not None and endpoint.alive() else None


def write_endpoint(endpoint: Endpoint) -> None:
    """Publish a server that listens; the file holds its token, so only its user may read it."""
    write_json(server_folder() / "server.json", asdict(endpoint), mode=0o600)


def remove_endpoint(pid: int) -> None:
    """Take back what this process published; another server's word stays."""
    path = server_folder() / "server.json"
    document = read_json(path)
    if document is not None and document.get("pid") == pid:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def hold(name: str, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold a lock file of the server's folder; the kernel frees it when the process ends, however it ends.

    Raises:
        Conflict: somebody else holds it (their pid is named) and `wait_seconds` is 0.
        TimedOut: somebody else held it for all of `wait_seconds`.
    """
    path = server_folder() / name
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(handle, path, wait_seconds)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def held(name: str) -> bool:
    """Whether some process holds a lock file of the server's folder."""
    if not (state_dir() / "server" / name).exists():
        return False
    try:
        with hold(name):
            return False
    except Conflict:
        return True


def _lock(handle: int, path: Path, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "another process"
        if not wait_seconds:
            raise Conflict(f"the server of this state directory runs: process {holder} holds {path}", hint=_ONE_SERVER)
        if time.monotonic() > deadline:
            raise TimedOut(f"process {holder} has held {path} for {wait_seconds:g} s", hint="is it hanging?")
        time.sleep(0.02)
