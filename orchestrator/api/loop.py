"""The thread that runs the controller."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

_LOG = logging.getLogger(__name__)


class Loop(Protocol):
    """What is run: `orchestrator.control.loop.Controller`."""

    def run(self, stopping: threading.Event) -> None:
        """Pass after pass until `stopping` is set and `wake` called."""
        ...

    def wake(self) -> None:
        """Make the next pass at once."""
        ...


class ControlThread:
    """Runs a controller until stopped.

    Args:
        controller: what is run.
        on_end: called where it ends without being asked to: another server has taken the store over.
    """

    def __init__(self, controller: Loop, on_end: Callable[[], None]) -> None:
        self._controller = controller
        self._on_end = on_end
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="controller", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Begin the next pass now."""
        self._controller.wake()

    def stop(self, timeout: float = 15.0) -> None:
        """Let the pass that is under way finish; jobs go on."""
        self._stopping.set()
        self._controller.wake()
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._controller.run(self._stopping)
        except Exception:
            _LOG.exception("the controller has ended; so does the server")
            self._on_end()
