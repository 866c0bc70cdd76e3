"""How often Slurm may be asked: so many questions in a row, and in the long run one in so many seconds."""

from __future__ import annotations

import math

_ROUNDING = 1e-9


class Budget:
    """A bucket of tokens, full at first; one goes with each question.

    Args:
        every: seconds in which one token comes back.
        burst: tokens that it holds.
    """

    def __init__(self, every: float, burst: int = 1) -> None:
        self._every = every
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at = -math.inf

    def wait(self, now: float, *, debt: float = 0.0) -> float:
        """Seconds until a question may be asked; `debt`: so many more than there are tokens."""
        lacking = 1.0 - debt - self._after(now)
        return lacking * self._every if lacking > _ROUNDING else 0.0

    def spend(self, now: float) -> None:
        """A question is asked."""
        self._tokens, self._at = self._after(now) - 1.0, now

    def is_full(self, now: float) -> bool:
        """Whether none has been asked for a while."""
        return self._after(now) >= self._burst - _ROUNDING

    def _after(self, now: float) -> float:
        if self._at == -math.inf:
            return self._tokens
        return min(self._burst, self._tokens + max(0.0, now - self._at) / self._every)
