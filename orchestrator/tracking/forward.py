"""The forwarder: one process beside the controller that sends every job's spool to the tracking server.

    python -m orchestrator.tracking.forward --runs-root DIR --uri URI --status FILE [--until-idle SECONDS]

It ends by itself when nothing was left to send for a while. While the server is down it keeps trying, ever more rarely.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.files import write_json
from orchestrator.tracking.cursors import waiting
from orchestrator.tracking.protocol import Target, TrackerUnavailable
from orchestrator.tracking.replay import Replay

POLL_SECONDS = 1.0
FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 30.0


@dataclass(frozen=True)
class Settings:
    """What the command line says.

    Attributes:
        runs_root: the folder that holds `jobs/`.
        uri: the tracking server.
        status: a JSON file for people and for the controller.
        until_idle: seconds without anything to send after which the process ends.
    """

    runs_root: Path
    uri: str
    status: Path
    until_idle: float


class Forwarder:
    """The loop around a `Replay`: polling, back-off, status, end.

    Args:
        settings: what to send, and where.
        open_target: connects to the server; raises `TrackerUnavailable` where it does not answer.
        stopped: set when the process is asked to end.
        adopted: whether the process that started this one still lives.
    """

    def __init__(
        self,
        settings: Settings,
        open_target: Callable[[str], Target],
        stopped: threading.Event,
        adopted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._settings = settings
        self._open_target = open_target
        self._stopped = stopped
        self._adopted = adopted
        self._replay: Replay | None = None
        self._forwarded = 0
        self._error = ""

    def run(self) -> None:
        """Send until idle, or until asked to end."""
        busy = time.monotonic()
        backoff = FIRST_BACKOFF
        while not self._stopped.is_set():
            try:
                pending, sent = self._step()
                wait, backoff, down = POLL_SECONDS, FIRST_BACKOFF, False
                if pending and sent:
                    continue  # a long spool is sent in pieces, without a rest between them
            except TrackerUnavailable as error:
                self._error = str(error.message)
                sent, wait, backoff, down = 0, backoff, min(LONGEST_BACKOFF, backoff * 2), True
                self._say(waiting(self._settings.runs_root, self._settings.uri))
            if sent or (down and self._adopted()):
                busy = time.monotonic()
            elif time.monotonic() - busy >= self._settings.until_idle:
                return
            self._stopped.wait(wait)

    def _step(self) -> tuple[int, int]:
        if self._replay is None:
            if not waiting(self._settings.runs_root, self._settings.uri):
                self._say(0)
                return 0, 0
            self._replay = Replay(self._settings.runs_root, self._settings.uri, self._open_target(self._settings.uri))
        done = self._replay.step()
        self._forwarded += done.sent
        self._error = done.refused[-1] if done.refused else ("" if done.sent else self._error)
        for refusal in done.refused:
            sys.stderr.write(f"left out: {refusal}\n")
        self._say(done.pending)
        return done.pending, done.sent

    def _say(self, pending: int) -> None:
        status = {
            "pid": os.getpid(),
            "uri": self._settings.uri,
            "pending": pending,
            "forwarded": self._forwarded,
            "error": self._error,
            "time": time.time(),
        }
        write_json(self._settings.status, status, durable=False)


def main(arguments: list[str] | None = None) -> int:
    """Forward until idle; at once where another forwarder serves this folder."""
    settings = _parse(arguments)
    settings.status.parent.mkdir(parents=True, exist_ok=True)
    settings.runs_root.mkdir(parents=True, exist_ok=True)
    with open(settings.runs_root / ".forwarder.lock", "a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        os.nice(10)  # sending must never slow down what is measured
        parent = os.getppid()
        Forwarder(settings, _open_mlflow, stopped, lambda: os.getppid() == parent).run()
    return 0


def _open_mlflow(uri: str) -> Target:
    from orchestrator.tracking.mlflow_adapter import MlflowTarget

    return MlflowTarget(uri)


def _parse(arguments: list[str] | None) -> Settings:
    parser = argparse.ArgumentParser(prog="python -m orchestrator.tracking.forward", description=__doc__)
    parser.add_argument("--runs-root", type=Path, required=True, help="the folder that holds jobs/")
    parser.add_argument("--uri", required=True, help="the MLflow tracking URI")
    parser.add_argument("--status", type=Path, required=True, help="a JSON file that says how far it is")
    parser.add_argument("--until-idle", type=float, default=30.0, help="end after so many seconds with nothing to send")
    parsed = parser.parse_args(arguments)
    return Settings(parsed.runs_root, parsed.uri, parsed.status, parsed.until_idle)


if __name__ == "__main__":
    sys.exit(main())
