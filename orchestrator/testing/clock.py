"""Time and identifiers under a test's control."""

from __future__ import annotations


class SimulatedClock:
    """A clock that moves only when it is told to.

    Args:
        now: wall-clock seconds since the epoch, to begin with.
    """

    def __init__(self, now: float = 1_000_000_000.0) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> float:
        """Wall-clock seconds since the epoch."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        """Time goes on at once."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Time goes on."""
        self._now += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """The wall clock is set, forwards or backwards; no time passes."""
        self._now += seconds


class SequentialIds:
    """Identifiers `<prefix>-00000001`, `<prefix>-00000002`, … from `first` on."""

    def __init__(self, first: int = 1) -> None:
        self._next = first

    def new(self, prefix: str) -> str:
        """The next identifier."""
        identifier = f"{prefix}-{self._next:08d}"
        self._next += 1
        return identifier
