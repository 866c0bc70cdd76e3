"""What a run's time was spent on: steps that count, steps that had to be made again, and neither."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

Spent = Literal["useful", "redone", "idle"]


class Goodput:
    """A clock that is always running for one of the three.

    Args:
        now: a monotonic clock.

    Attributes:
        seconds: spent so far.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._since = now()
        self.seconds: dict[Spent, float] = {"useful": 0.0, "redone": 0.0, "idle": 0.0}

    def spent(self, on: Spent) -> None:
        """The time since the last call went into this."""
        now = self._now()
        self.seconds[on] += now - self._since
        self._since = now

    def document(self) -> dict[str, float]:
        """As an event and the hand-over to new workers have it."""
        return {f"{name}_seconds": round(value, 3) for name, value in self.seconds.items()}

    def adopt(self, document: Mapping[str, Any]) -> None:
        """Take over the sums of a worker that has been there for longer."""
        theirs = {name: float(document.get(f"{name}_seconds", 0.0)) for name in self.seconds}
        if sum(theirs.values()) > sum(self.seconds.values()):
            self.seconds = theirs
