"""What questions about a queue share: one look for all who ask at the same moment, and one "what if" at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from orchestrator.base.errors import Conflict
from orchestrator.control.site import Site

_PATIENCE = 5.0
"""Seconds for which somebody who asks "what if" waits for those who asked before."""

L = TypeVar("L")


class Newest(Generic[L]):
    """The newest look, until it is too old, or something was changed.

    Args:
        site: its store tells what was written down, its clock what time it is.
        take: looks; what it raises is raised.
        behind: seconds that any answer may be behind what was written down.
    """

    def __init__(self, site: Site, take: Callable[[], L], behind: Callable[[], float] = lambda: 0.0) -> None:
        self._site, self._take, self._behind = site, take, behind
        self._lock = threading.Lock()
        self._known: tuple[L, int, float] | None = None
        self._changes = 0

    def forget(self) -> None:
        """Somebody changed something: the next answer is worked out anew, whatever is being looked at meanwhile."""
        self._changes += 1
        self._known = None

    def look(self, *, max_age: float, unchanged: float) -> L:
        """What is known.

        Args:
            max_age: of a look that will do in any case, in seconds.
            unchanged: of one that will do where nothing was written down since.
        """
        with self._lock:
            version, now, known = self._site.store.version, self._site.clock.monotonic(), self._known
            if known is not None:
                look, seen, taken = known
                if now - taken < max(max_age, self._behind()) or (seen == version and now - taken <= unchanged):
                    return look
            changes = self._changes
            look = self._take()
            self._known = (look, version, now) if changes == self._changes else None
            return look


@contextmanager
def one_what_if(lock: threading.Lock) -> Iterator[None]:
    """Answer one at a time: each takes a processor for seconds.

    Raises:
        Conflict: those who asked before take too long.
    """
    if not lock.acquire(timeout=_PATIENCE):
        raise Conflict("too many people ask what would happen if", hint="ask again in a moment")
    try:
        yield
    finally:
        lock.release()
