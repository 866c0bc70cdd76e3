"""How far a training is: samples, samples per second, and the time that is left, said about once a second."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_WINDOW_SECONDS = 20.0


@dataclass(frozen=True)
class Progress:
    """One word on how far it is.

    Attributes:
        samples: training samples used so far, earlier runs included.
        total: training samples of the whole training.
        samples_per_second: of the last seconds, evaluation included; None before there is a rate.
        eta_seconds: what is left at that rate.
        epoch: complete epochs.
    """

    samples: int
    total: int
    samples_per_second: float | None
    eta_seconds: float | None
    epoch: int


class ProgressMeter:
    """Says progress at most once an interval.

    Args:
        total: samples of the whole training.
        say: who is told.
        interval: seconds.
        now: a monotonic clock.
    """

    def __init__(
        self,
        total: int,
        say: Callable[[Progress], None],
        *,
        interval: float = 1.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total
        self._say = say
        self._interval = interval
        self._now = now
        self._marks: deque[tuple[float, int]] = deque()
        self._said = now()

    def update(self, samples: int, epoch: int, *, force: bool = False) -> None:
        """Take note of `samples`; tell, where it is time or `force` asks for it."""
        now = self._now()
        if not self._marks or now - self._marks[-1][0] >= self._interval / 4:
            self._marks.append((now, samples))
        while len(self._marks) > 2 and self._marks[0][0] < now - _WINDOW_SECONDS:
            self._marks.popleft()
        if force or now - self._said >= self._interval:
            self._said = now
            rate = self.rate(samples)
            left = (self._total - samples) / rate if rate else None
            self._say(Progress(samples, self._total, rate, left, epoch))

    def rate(self, samples: int) -> float | None:
        """Samples per second of the last seconds; None before there is a rate."""
        if not self._marks:
            return None
        then, earlier = self._marks[0]
        elapsed = self._now() - then
        return (samples - earlier) / elapsed if elapsed > 0 and samples > earlier else None
