"""Keeps the forwarder to MLflow running as a child process while there is something to forward."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_LOG = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 5.0, 300.0
UNTIL_IDLE_SECONDS = 30.0


class ForwarderKeeper:
    """Starts the forwarder when `wanted` says so, and again with back-off when it fails.

    Args:
        argv: the forwarder's command.
        log: where its output goes.
        wanted: whether something waits to be sent.
        monotonic: seconds, for the back-off.
    """

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        wanted: Callable[[], bool],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._argv = list(argv)
        self._log = log
        self._wanted = wanted
        self._monotonic = monotonic
        self._child: subprocess.Popen[bytes] | None = None
        self._failures = 0
        self._not_before = float("-inf")

    def tick(self) -> None:
        """Look after the child; called every few seconds."""
        if self._child is not None:
            code = self._child.poll()
            if code is None:
                return
            self._ended(code)
        if self._monotonic() >= self._not_before and self._wanted():
            with self._log.open("ab") as output:
                self._child = subprocess.Popen(
                    self._argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )

    def stop(self, timeout: float = 5.0) -> None:
        """End the child; what it has not sent, the next one sends."""
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child = None

    def _ended(self, code: int) -> None:
        self._child = None
        self._failures = 0 if code == 0 else self._failures + 1
        if self._failures:
            wait = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** (self._failures - 1))
            self._not_before = self._monotonic() + wait
            _LOG.warning("the forwarder ended with code %d; starting it again in %.0f s", code, wait)


def forwarder_command(runs_root: Path, uri: str, status: Path) -> list[str]:
    """The forwarder's argument vector; empty where MLflow is not installed."""
    if importlib.util.find_spec("mlflow") is None:
        return []
    options = {"--runs-root": runs_root, "--uri": uri, "--status": status, "--until-idle": UNTIL_IDLE_SECONDS}
    named = [str(part) for pair in options.items() for part in pair]
    return [sys.executable, "-P", "-m", "orchestrator.tracking.forward", *named]
