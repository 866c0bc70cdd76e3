"""Read-ahead: a few threads fetch the shards that are needed next, in order, never too many bytes ahead."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable

_log = logging.getLogger(__name__)


class ReadAhead:
    """Fetches in the background. There are threads only while there is something to fetch.

    A failure here is only logged: whoever needs the shard tries by himself and tells what is wrong.

    Args:
        fetch: brings a shard into the cache; may be called by several threads at once.
        size: bytes of a shard.
        budget: the most bytes that are fetched, or being fetched, and not yet taken.
        threads: the most at once.
    """

    def __init__(
        self, fetch: Callable[[int], object], size: Callable[[int], int], *, budget: int, threads: int
    ) -> None:
        self._fetch = fetch
        self._size = size
        self._budget = budget
        self._threads = threads
        self._lock = threading.Lock()
        self._queue: deque[int] = deque()
        self._flying: set[int] = set()
        self._early: set[int] = set()
        self._ahead: dict[int, int] = {}
        self._running = 0

    def want(self, numbers: Iterable[int]) -> None:
        """Replace the queue: these are needed next, in this order. What is no longer in it counts no more as ahead."""
        wanted = list(dict.fromkeys(numbers))
        with self._lock:
            kept = set(wanted)
            self._ahead = {number: size for number, size in self._ahead.items() if number in kept}
            self._queue = deque(n for n in wanted if n not in self._flying and n not in self._ahead)
            self._start_threads()

    def taken(self, number: int) -> None:
        """A shard is in use now: there is room for another one ahead."""
        with self._lock:
            if number in self._flying:
                self._early.add(number)
            elif number in self._queue:
                self._queue.remove(number)
            elif self._ahead.pop(number, None) is not None:
                self._start_threads()

    def stop(self) -> None:
        """Begin nothing more."""
        with self._lock:
            self._queue.clear()

    def _start_threads(self) -> None:
        for _ in range(min(len(self._queue), self._threads - self._running)):
            self._running += 1
            threading.Thread(target=self._work, name="read-ahead", daemon=True).start()

    def _work(self) -> None:
        while (number := self._next()) is not None:
            got = self._try(number)
            with self._lock:
                self._flying.discard(number)
                if got and number not in self._early:
                    self._ahead[number] = self._size(number)
                self._early.discard(number)

    def _next(self) -> int | None:
        with self._lock:
            if self._queue and self._fits(self._size(self._queue[0])):
                number = self._queue.popleft()
                self._flying.add(number)
                return number
            self._running -= 1
            return None

    def _fits(self, size: int) -> bool:
        ahead = sum(self._ahead.values()) + sum(self._size(number) for number in self._flying)
        return ahead == 0 or ahead + size <= self._budget

    def _try(self, number: int) -> bool:
        try:
            self._fetch(number)
        except Exception as error:  # a thread that dies would take its place in the pool with it
            _log.info("read-ahead: %s", error)
            return False
        return True
