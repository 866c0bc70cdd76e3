"""Calls of an engine, a few at a time: each waits for the engine, and nothing of the store is touched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from orchestrator.base.errors import BackendUnavailable, Busy

AT_ONCE = 4
"""Calls at a time: engines with a queue of their own take milliseconds for each."""

Ask = Callable[[], None]
"""Asks the engine for one thing."""


def all_at_once(asks: Sequence[Ask]) -> list[Exception | None]:
    """Call all of them, a few at a time; once the engine has not answered one of them, no other is begun.

    Returns:
        What each of them raised; None where it went well.
    """
    silent = threading.Event()

    def one(ask: Ask) -> Exception | None:
        if silent.is_set():
            return BackendUnavailable("it was not asked: it had not answered just before", hint="wait")
        try:
            ask()
        except BackendUnavailable as error:
            if not isinstance(error, Busy):
                silent.set()
            return error
        except Exception as error:  # one job's trouble is not the others'
            return error
        return None

    with ThreadPoolExecutor(min(AT_ONCE, max(1, len(asks))), thread_name_prefix="engine") as pool:
        return [*pool.map(one, asks)]
