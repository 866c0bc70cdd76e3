"""The driver: has Ray Train train, passes on a wish to stop, and says how the training ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.base.text import one_line
from orchestrator.raytrain.task import STOP_FILE, ending_of, failure_told, meeting_folder
from orchestrator.recipes.ending import Ending
from orchestrator.rundir.layout import RunDirectory
from orchestrator.runtime.context import StopRequest
from orchestrator.runtime.logs import say

Fit = Callable[[], Mapping[str, Any]]
"""Trains by Ray Train until its workers have ended, and returns what worker 0 did."""
_TICK = 0.2
_OF_THE_GRACE = 0.8
_LONGEST = 500


def drive(run: RunDirectory, fit: Fit, should_stop: Callable[[], StopRequest | None]) -> Ending:
    """Train to the end, as often as workers leave because their node is to be taken away.

    Args:
        run: the run's directory.
        fit: trains.
        should_stop: what the run was asked; looked at several times a second.
    """
    meeting_folder(run).mkdir(parents=True, exist_ok=True)
    while should_stop() is None:
        ending = _once(run, fit, should_stop)
        if ending.outcome != "left":
            return ending
        say(ending.message)
    return Ending("stopped", "stopped between two starts of its workers")


def _once(run: RunDirectory, fit: Fit, should_stop: Callable[[], StopRequest | None]) -> Ending:
    """What Ray Train is called for goes on in another thread, and is left behind where there is nothing to wait for."""
    call = _Call(fit)
    call.start()
    give_up_at = float("inf")
    while call.is_alive():
        call.join(_TICK)
        if (failed := failure_told(run)) is not None:
            return failed
        if give_up_at == float("inf") and (request := should_stop()) is not None:
            (meeting_folder(run) / STOP_FILE).touch()
            give_up_at = time.monotonic() + _OF_THE_GRACE * request.grace_seconds
        if time.monotonic() > give_up_at:
            return Ending("stopped", "stopped; its workers did not answer in time")
    return failure_told(run) or call.ending()


class _Call(threading.Thread):
    def __init__(self, fit: Fit) -> None:
        super().__init__(name="ray-train", daemon=True)
        self._fit = fit
        self._found: Mapping[str, Any] | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._found = self._fit()
        except BaseException as error:  # of many kinds; a Ray that is shut down raises SystemExit
            self._error = error

    def ending(self) -> Ending:
        """How it ended; where Ray Train gave up, workers or nodes were lost: what was computed has not failed."""
        if self._found is not None:
            return ending_of(self._found)
        words = str(self._error)
        found = "out_of_memory" if "memory pressure" in words or "OutOfMemoryError" in words else "infrastructure"
        return Ending("failed", f"Ray Train gave up: {one_line(words, _LONGEST)}", found)
