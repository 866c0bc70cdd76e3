"""Time as a coordinator counts it, and how long steps take."""

from __future__ import annotations

from collections import deque

from orchestrator.runtime.membership.events import WorkerBeat

_LONGEST_GAP = 1.0
_REMEMBERED_STEPS = 50


class CountedTime:
    """Seconds that a coordinator has watched.

    Where it was itself asleep (a stopped process, a suspended machine), nobody was silent, and no time has passed.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._now: float | None = None

    def advance(self, now: float) -> float:
        """The time at the monotonic clock's `now`."""
        if self._now is not None:
            self.seconds += min(max(now - self._now, 0.0), _LONGEST_GAP)
        self._now = now
        return self.seconds


class StepTimes:
    """Seconds of the last steps, by the beats of one worker."""

    def __init__(self) -> None:
        self.seconds: deque[float] = deque(maxlen=_REMEMBERED_STEPS)
        self._from: tuple[int, int, float] | None = None

    def note(self, beat: WorkerBeat, time: float) -> None:
        """A beat of the worker that leads."""
        if self._from is None or self._from[0] != beat.number or beat.step < self._from[1]:
            self._from = (beat.number, beat.step, time)
        elif beat.step > self._from[1]:
            self.seconds.append((time - self._from[2]) / (beat.step - self._from[1]))
            self._from = (beat.number, beat.step, time)
