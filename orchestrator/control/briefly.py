"""`briefly`: a question that somebody waits for is given up after some seconds, whatever its own patience."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from orchestrator.base.errors import BackendUnavailable

R = TypeVar("R")


def briefly(ask: Callable[[], R], seconds: float) -> R:
    """The answer.

    Args:
        ask: goes on in a thread of its own where it takes longer; nobody hears of what comes of it then.
        seconds: that it is waited for.

    Raises:
        BackendUnavailable: there is none yet.
        Exception: any that the question raised.
    """
    answer: Future[R] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=run, name="briefly", daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        raise BackendUnavailable(
            f"the engine has not answered within {seconds:g} s", hint="see whether it can be reached from this machine"
        ) from None
