"""Time-outs that no clock jump and no pause of the controller can bring about; all in monotonic seconds."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.base.clock import Clock


@dataclass(frozen=True)
class _Absence:
    seconds: float
    seen_at: float


class Absences:
    """How long runs have been absent from their engine, without a break and while we looked.

    Between two looks at most a third of `limit` counts, so that a controller that slept for an hour finds nothing
    lost. A new controller starts to count anew.
    """

    def __init__(self, clock: Clock, limit: float) -> None:
        self._clock = clock
        self._limit = limit
        self._known: dict[str, _Absence] = {}

    def absent(self, allocation: str) -> bool:
        """It was looked for and is not there; True where that has been so for long enough."""
        now = self._clock.monotonic()
        last = self._known.get(allocation)
        step = 0.0 if last is None else min(now - last.seen_at, self._limit / 3)
        seconds = step + (0.0 if last is None else last.seconds)
        self._known[allocation] = _Absence(seconds, now)
        return last is not None and seconds >= self._limit * (1 - 1e-9)

    def present(self, allocation: str) -> None:
        """It is there."""
        self._known.pop(allocation, None)

    def unknown(self) -> None:
        """The engine did not answer: no absence is continuous any more."""
        self._known.clear()


class Elapsed:
    """Seconds since something began, by wall clock up to when this controller first saw it, monotonic from there on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began: dict[str, float] = {}

    def since(self, key: str, wall: float) -> float:
        """Seconds since `wall` (seconds since the epoch); negative while that lies ahead."""
        if key not in self._began:
            self._began[key] = self._clock.monotonic() - (self._clock.now() - wall)
        return self._clock.monotonic() - self._began[key]

    def drop(self, key: str) -> None:
        """It is over."""
        self._began.pop(key, None)

    def forget(self, keep: set[str]) -> None:
        """Drop all but these."""
        self._began = {key: began for key, began in self._began.items() if key in keep}
