"""Whether Ray is about to take a worker's node away, asked of Ray Train in agreement with all other workers."""

from __future__ import annotations

import time
from collections.abc import Callable

from orchestrator.raytrain.place import FromRankZero

_SECONDS = 2.0
_MOST_UNITS = 1000


class Drains:
    """Asks once in about two seconds, and on all workers in the same unit of work, for to ask is a barrier.

    Args:
        preempted: whether Ray Train knows of a node that is to be taken away; a barrier.
        from_rank_zero: Ray Train's broadcast, by which worker 0 says in how many units it is asked again.
        clock: seconds.
    """

    def __init__(
        self,
        preempted: Callable[[], bool],
        from_rank_zero: FromRankZero,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._preempted, self._from_rank_zero, self._clock = preempted, from_rank_zero, clock
        self._units, self._left = 1, 1
        self._asked = clock()
        self.told = False

    def __call__(self) -> bool:
        """Whether to leave with a checkpoint; to be called once in each unit of work, on every worker."""
        self._left -= 1
        if self._left <= 0 and not self.told:
            self.told = self._preempted()
            self._left = self._units = self._from_rank_zero(self._next())
        return self.told

    def _next(self) -> int:
        """Units until the next question, by how long the last ones took."""
        now = self._clock()
        each, self._asked = max(now - self._asked, 0.0) / self._units, now
        return max(1, min(_MOST_UNITS, 2 * self._units, int(_SECONDS / each) if each else _MOST_UNITS))
