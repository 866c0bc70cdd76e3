"""The server process: one engine, its controller thread, and uvicorn on a socket of our own.

    python -m orchestrator.api.server --embedded --profile local

Embedded, it listens on a free port of loopback and ends by itself when it has been idle with nothing left to do.
"""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext

import uvicorn

from orchestrator import __version__
from orchestrator.api.app import create_app
from orchestrator.api.auth import Grant, Principal, TokenBook, read_grants
from orchestrator.api.binding import IDLE_SECONDS, ServeOptions, check_binding, listen, url_of
from orchestrator.api.context import Activity, ApiContext
from orchestrator.api.endpoint import Endpoint, hold, read_endpoint, remove_endpoint, server_folder, write_endpoint
from orchestrator.api.engine import Engine, open_engine
from orchestrator.api.forwarding import ForwarderKeeper, forwarder_command
from orchestrator.api.loop import ControlThread
from orchestrator.api.served import from_anywhere, remember
from orchestrator.base.collector import full_collections_by_hand
from orchestrator.base.errors import OrchestratorError
from orchestrator.base.paths import state_dir
from orchestrator.base.process import ProcessIdentity
from orchestrator.control.briefly import briefly
from orchestrator.spec.answers import SlotCount
from orchestrator.spec.load import load_served_profile
from orchestrator.spec.messages import ServerInfo
from orchestrator.spec.objectstore import store_fingerprints
from orchestrator.spec.tracking import default_tracking_uri

KEEPING_SECONDS = 1.0
LOCK_SECONDS = 30.0
"""How long a new embedded server waits for one that is just ending."""
_PASS = 1.0
"""Seconds that a pass of the controller is let finish."""
_PATIENCE = 2.0
"""Seconds that an engine is waited for where its numbers are only shown."""

_LOG = logging.getLogger(__name__)


def serve(
    options: ServeOptions, *, ready: Callable[[Endpoint], None] = lambda endpoint: None, locked: bool = False
) -> None:
    """Serve until a signal, a shutdown request, or (embedded) idleness ends it.

    Args:
        options: how.
        ready: called once it listens.
        locked: the caller holds the server's lock.

    Raises:
        UsageError: it would listen beyond loopback without a token, or cannot listen there at all.
        Conflict: another server of this user runs on this host.
        StoreError: the store cannot be opened.
    """
    loopback = check_binding(options)
    profile = load_served_profile(options.profile)
    lock = nullcontext() if locked else hold("lock", wait_seconds=LOCK_SECONDS if options.embedded else 0.0)
    with lock, listen(options) as listener, open_engine(profile) as engine:
        remember(profile.name, from_anywhere(options.profile))
        own_token = secrets.token_urlsafe(32)
        server = _Server(options, engine, listener, own_token, loopback_only=loopback)
        with full_collections_by_hand():  # the controller makes them, between its passes
            server.run(ready)


class _Server:
    """Everything that runs while the server does, started and ended in order."""

    def __init__(
        self, options: ServeOptions, engine: Engine, listener: socket.socket, own_token: str, *, loopback_only: bool
    ) -> None:
        self._options = options
        self._engine = engine
        self._listener = listener
        self._own_token = own_token
        self._started_at = time.time()
        self._activity = Activity()
        self._stopping = threading.Event()
        self._published: Endpoint | None = None
        self._control = ControlThread(engine.controller, self.stop)
        self._forwarder = _forwarder(engine)
        context = ApiContext(
            service=engine.service,
            questions=engine.questions,
            profile=engine.profile,
            tokens=TokenBook(self._grants(), now=time.time),
            describe=self._describe,
            wake=self._wake,
            stop=self.stop,
            stopping=self._stopping,
            activity=self._activity,
            loopback_only=loopback_only,
        )
        config = uvicorn.Config(
            create_app(context),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=3,
        )
        self._uvicorn = _Uvicorn(config)

    def run(self, ready: Callable[[Endpoint], None]) -> None:
        """Serve until stopped."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        endpoint = self._endpoint()

        def listening() -> None:
            self._publish(endpoint)
            self._published = endpoint
            ready(endpoint)

        self._control.start()
        keeper.start()
        try:
            self._uvicorn.serve_on(self._listener, listening, self._stopping)
        finally:
            self.stop()
            self._control.stop(_PASS)
            self._engine.backend.close()  # what a pass still waits for ends with the server
            self._control.stop()
            keeper.join(10.0)
            if self._forwarder is not None:
                self._forwarder.stop()

    def stop(self) -> None:
        """End the server; its jobs go on. From now on commands start a new one, which waits for this one's lock."""
        self._stopping.set()
        remove_endpoint(os.getpid())
        self._uvicorn.should_exit = True

    def _wake(self) -> None:
        """Somebody changed something: the controller looks, and the next answer is worked out anew."""
        self._engine.questions.forget()
        self._control.wake()

    def _publish(self, endpoint: Endpoint) -> None:
        write_endpoint(endpoint)
        if self._stopping.is_set():  # `stop` may have looked for the word just before it was written
            remove_endpoint(endpoint.pid)

    def _keep_published(self) -> None:
        """Write the word on this server again where it was lost or damaged; without it, no command finds the way."""
        own = self._published
        if own is None:
            return
        found = read_endpoint()
        if found is None or not found.leads_to(own):
            _LOG.warning("server.json was missing or damaged; writing it again")
            self._publish(own)

    def _keep(self) -> None:
        """Look after the forwarder and server.json, and notice when nothing is left to do."""
        while not self._stopping.wait(KEEPING_SECONDS):
            try:
                self._keep_published()
                if self._forwarder is not None:
                    self._forwarder.tick()
                if self._options.embedded and self._idle():
                    _LOG.info("idle with nothing left to do: ending")
                    self.stop()
            except (OrchestratorError, OSError) as error:
                _LOG.error("looking after the server failed: %s", error)

    def _idle(self) -> bool:
        long_ago = self._activity.idle_seconds() >= self._options.idle_seconds
        return long_ago and self._engine.service.open_jobs() == 0

    def _grants(self) -> list[Grant]:
        admin = Principal(getpass.getuser(), "admin")
        grants = [Grant.of(self._own_token, admin)]
        if self._options.token:
            grants.append(Grant.of(self._options.token, admin))
        return grants + (read_grants(self._options.tokens) if self._options.tokens is not None else [])

    def _endpoint(self) -> Endpoint:
        identity = ProcessIdentity.current()
        return Endpoint(
            url=url_of(self._listener),
            token=self._own_token,
            pid=identity.pid,
            start_ticks=identity.start_ticks,
            version=__version__,
            profile=self._engine.profile.name,
        )

    def _describe(self) -> ServerInfo:
        engine = self._engine
        try:
            count, notes = briefly(lambda: (engine.slot_count(), engine.notes()), _PATIENCE)
        except OrchestratorError:  # whatever is wrong with the engine, the server can be asked and ended
            count, notes = SlotCount(total=0, used=0, free=0), [*filter(None, [engine.controller.silence()])]
        return ServerInfo(
            version=__version__,
            pid=os.getpid(),
            started_at=self._started_at,
            embedded=self._options.embedded,
            profile=self._engine.profile.name,
            backend=self._engine.backend.name,
            state_dir=str(state_dir()),
            slots=count.total,
            slots_free=count.free,
            cpus=count.cpus,
            cpus_free=count.cpus_free,
            notes=notes,
            tracking_uri=default_tracking_uri(),
            object_store=store_fingerprints(os.environ),
            role="",
            user="",
        )


class _Uvicorn(uvicorn.Server):
    """uvicorn on a socket that listens already; the signals are ours."""

    def serve_on(self, listener: socket.socket, listening: Callable[[], None], stopping: threading.Event) -> None:
        """Serve; `listening` is called once requests are answered."""
        self._listening = listening
        self._stopping = stopping
        self.run(sockets=[listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell the world once requests are answered."""
        await super().startup(sockets)
        if not self._stopping.is_set():
            self._listening()

    def handle_exit(self, sig: int, frame: object) -> None:
        """A signal: streams end at once, requests that are under way finish."""
        self._stopping.set()
        self.should_exit = True


def _forwarder(engine: Engine) -> ForwarderKeeper | None:
    uri = default_tracking_uri()
    command = forwarder_command(engine.runs_root, uri, server_folder() / "forwarder.json")
    if not command:
        return None

    def wanted() -> bool:
        from orchestrator.tracking.cursors import waiting

        return waiting(engine.runs_root, uri) > 0

    return ForwarderKeeper(command, server_folder() / "forwarder.log", wanted)


def main(arguments: list[str] | None = None) -> int:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.api.server", description=__doc__)
    parser.add_argument("--profile", default="local", help="the cluster, by name or path")
    parser.add_argument("--embedded", action="store_true", help="end when idle")
    parser.add_argument("--idle-seconds", type=float, default=IDLE_SECONDS, help="how long is idle")
    parsed = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        serve(ServeOptions(parsed.profile, embedded=parsed.embedded, idle_seconds=parsed.idle_seconds))
    except OrchestratorError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
