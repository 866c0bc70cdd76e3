"""`Rest`: an engine that did not answer is left alone for a while, ever longer while that goes on."""

from __future__ import annotations

from orchestrator.base.clock import Clock

_FIRST, _LONGEST = 2.0, 60.0


class Rest:
    """In monotonic seconds.

    Args:
        clock: for them.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds = 0.0
        self._until = 0.0

    @property
    def left(self) -> float:
        """Seconds that it still lasts; 0: it is over."""
        return max(0.0, self._until - self._clock.monotonic())

    def begin(self) -> float:
        """A call was not answered; for how many seconds nothing shall be asked now."""
        self._seconds = min(_LONGEST, max(_FIRST, 2 * self._seconds))
        self._until = self._clock.monotonic() + self._seconds
        return self._seconds

    def over(self) -> None:
        """A call was answered."""
        self._seconds = self._until = 0.0
