"""Starts the embedded server: detached, once however many commands want it, and in place of an older version."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from orchestrator import __version__
from orchestrator.api.endpoint import Endpoint, held, hold, read_endpoint, server_folder
from orchestrator.api.served import from_anywhere, profile_to_serve
from orchestrator.base.errors import OrchestratorError, ServerUnreachable, TimedOut
from orchestrator.cli.output import note
from orchestrator.client import Client, HttpTransport

START_SECONDS = 60.0
HANDOVER_SECONDS = 30.0
_PATIENCE_SECONDS = 1.0


def ensure_running(cluster: str | None = None) -> Endpoint:
    """The embedded server, started or replaced where that is needed.

    Args:
        cluster: the profile of a server that is started; None: the one that was served last.

    Raises:
        Conflict: the profile that was served last can no longer be served.
        ServerUnreachable: the new server ended at once; the end of its log is in the message.
        TimedOut: it does not come up, or an older one does not go.
    """
    with hold("start.lock", wait_seconds=START_SECONDS + HANDOVER_SECONDS):
        endpoint = read_endpoint()
        if endpoint is not None and not _older(endpoint.version, __version__):
            return endpoint
        if endpoint is not None:
            _hand_over(endpoint)
        return _launch(profile_to_serve() if cluster is None else from_anywhere(cluster))


def stop_running() -> Endpoint | None:
    """End the embedded server; its jobs go on.

    Returns:
        The server that ended; None where none ran.

    Raises:
        TimedOut: it does not end, or one holds the lock and does not say where it listens.
    """
    endpoint = read_endpoint()
    if endpoint is None and held("lock"):  # it is coming up or going, or server.json was lost and is written again
        if not _until(lambda: read_endpoint() is not None or not held("lock"), HANDOVER_SECONDS):
            raise TimedOut("a server runs, but does not say where", hint=f"its log: {server_folder() / 'server.log'}")
        endpoint = read_endpoint()
    if endpoint is not None:
        _shut_down(endpoint)
    return endpoint


def _hand_over(endpoint: Endpoint) -> None:
    note(f"the server runs version {endpoint.version}; starting {__version__} in its place …")
    _shut_down(endpoint)


def _shut_down(endpoint: Endpoint) -> None:
    try:
        Client(HttpTransport(endpoint.url, timeout=10.0), endpoint.token).shutdown()
    except ServerUnreachable:
        if endpoint.alive():
            raise
    if not _until(lambda: not endpoint.alive(), HANDOVER_SECONDS):
        raise TimedOut(f"the server (process {endpoint.pid}) does not end", hint=f"kill {endpoint.pid}")


def _launch(profile: str) -> Endpoint:
    log = server_folder() / "server.log"
    size_before = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", "orchestrator.api.server", "--embedded", "--profile", profile],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=server_folder(),
            start_new_session=True,
        )
    found: list[Endpoint] = []

    def settled() -> bool:
        if (endpoint := read_endpoint()) is not None:
            found.append(endpoint)
        return bool(found) or server.poll() is not None

    if not _until(settled, _PATIENCE_SECONDS):
        note(f"starting the server of cluster profile {profile} …")
        _until(settled, START_SECONDS)
    if found:
        if found[0].pid != server.pid:  # another one was faster, or was there: ours only waits for its lock
            server.terminate()
            server.wait()
        return found[0]
    if server.poll() is None:
        server.terminate()
        raise TimedOut(f"the server did not start within {START_SECONDS:g} s", hint=f"its log: {log}")
    raise _ended_at_once(log, size_before)


def _ended_at_once(log: Path, size_before: int) -> OrchestratorError:
    with log.open("rb") as file:
        file.seek(size_before)
        lines = file.read().decode(errors="replace").strip().splitlines()
    last = "\n".join(f"  {line}" for line in lines[-8:])
    return ServerUnreachable(f"the server ended while it started:\n{last}", hint=f"its log: {log}")


def _older(version: str, than: str) -> bool:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(".") if part.isdigit()]

    return numbers(version) < numbers(than)


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
