"""The clock's heap: what is to happen, and when; ends that are no longer true stay in it until their time has come."""

from __future__ import annotations

import math
from enum import IntEnum
from heapq import heappop, heappush


class Kind(IntEnum):
    """Kinds of events, in the order in which those of one instant are taken in."""

    END = 0
    CHECKPOINT = 1
    FAIL = 2
    REPAIR = 3
    DRAIN = 4
    RESUME = 5


Event = tuple[float, int, int, object]
"""Time, kind, ticket, and what it concerns; tickets are unique, so that no two events tie."""


class Timers:
    """Events in order of time, then of kind, then of their making."""

    __slots__ = ("_last", "heap")

    def __init__(self) -> None:
        self.heap: list[Event] = []
        self._last = 0

    def at(self, when: float, kind: Kind, what: object) -> int:
        """Set one.

        Returns:
            Its ticket, which whoever it concerns keeps to know it by.
        """
        self._last += 1
        if when < math.inf:
            heappush(self.heap, (when, int(kind), self._last, what))
        return self._last

    def pop(self) -> Event:
        """The next one."""
        return heappop(self.heap)
