"""Time and identifiers come in through these seams, so that tests and the simulator can supply their own."""

from __future__ import annotations

import secrets
import time
from typing import Protocol

_ALPHABET = "abcdefghjkmnpqrstvwxyz23456789"  # no letters that are read as digits


class Clock(Protocol):
    """What the control plane knows of time."""

    def now(self) -> float:
        """Wall-clock time in seconds since the epoch; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump; what every time-out is measured with."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Wall-clock seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        time.sleep(seconds)


class IdSource(Protocol):
    """Where new identifiers come from."""

    def new(self, prefix: str) -> str:
        """A fresh identifier, `<prefix>-<8 characters>`."""
        ...


class RandomIds:
    """Identifiers from the operating system's randomness: 30**8 of them a prefix."""

    def new(self, prefix: str) -> str:
        """A fresh identifier, `<prefix>-<8 characters>`."""
        return f"{prefix}-" + "".join(secrets.choice(_ALPHABET) for _ in range(8))
