"""The thread that runs the controller: one pass after another, woken early by whoever has something for it."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from orchestrator.base.errors import OrchestratorError

_LOG = logging.getLogger(__name__)

LONGEST_BACKOFF_SECONDS = 10.0


class Steps(Protocol):
    """What is run: `orchestrator.control.loop.Controller`."""

    def step(self) -> float:
        """One pass; returns the seconds until the next."""
        ...


class ControlThread:
    """Runs a controller until stopped; a pass that fails is logged and tried again, ever more rarely.

    Args:
        controller: what is run.
    """

    def __init__(self, controller: Steps) -> None:
        self._controller = controller
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="controller", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Begin the next pass now."""
        self._woken.set()

    def stop(self, timeout: float = 15.0) -> None:
        """Let the pass that is under way finish; jobs go on."""
        self._stopping.set()
        self._woken.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                wait = self._controller.step()
                failures = 0
            except Exception as error:
                failures += 1
                wait = min(LONGEST_BACKOFF_SECONDS, 0.25 * 2.0 ** min(failures, 10))
                known = isinstance(error, OrchestratorError)
                _LOG.error("a pass of the controller failed: %s", error, exc_info=None if known else error)
            self._woken.wait(max(wait, 0.0))
