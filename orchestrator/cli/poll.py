"""Waits until the server has something to say that was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0


def until(look: Callable[[], T], done: Callable[[T], bool], *, timeout: float | None = None) -> T:
    """Look again and again, ever more rarely.

    Args:
        look: asks the server.
        done: whether that is it.
        timeout: seconds after which the last look is returned whatever it is; None: never.

    Returns:
        What the last look found.
    """
    pause, deadline = _PAUSE_SECONDS, None if timeout is None else time.monotonic() + timeout
    while True:
        found = look()
        if done(found) or (deadline is not None and time.monotonic() + pause > deadline):
            return found
        time.sleep(pause)
        pause = min(pause * 1.2, _LONGEST_PAUSE_SECONDS)
