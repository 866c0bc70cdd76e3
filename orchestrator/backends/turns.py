"""One thread at a time for each allocation, and all allocations at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.base.errors import Busy


class Turns:
    """Locks by name, which are there only while somebody holds one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken: set[str] = set()

    @contextmanager
    def at_once(self, name: str) -> Iterator[bool]:
        """Have the turn of a name where nobody has it; False, without waiting, where somebody does."""
        with self._changed:
            free = name not in self._taken
            if free:
                self._taken.add(name)
        try:
            yield free
        finally:
            if free:
                self._give_back(name)

    @contextmanager
    def now(self, name: str) -> Iterator[None]:
        """Have the turn of a name, without waiting for it.

        Raises:
            Busy: somebody has it.
        """
        with self.at_once(name) as free:
            if not free:
                raise Busy(
                    f"{name} is just being handed to the engine, or changed there", hint="wait: it is told again"
                )
            yield

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Wait for the turn of a name, and have it."""
        with self._changed:
            self._changed.wait_for(lambda: name not in self._taken)
            self._taken.add(name)
        try:
            yield
        finally:
            self._give_back(name)

    def _give_back(self, name: str) -> None:
        with self._changed:
            self._taken.discard(name)
            self._changed.notify_all()
