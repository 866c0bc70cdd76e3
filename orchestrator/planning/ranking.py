"""Numbers of workers that were tried, by when each would end; and which of them nobody should want."""

from __future__ import annotations

import math
from collections.abc import Sequence

from orchestrator.spec.answers import Option


def ranked(options: Sequence[Option]) -> list[Option]:
    """The first one, the workload as it is written, and the others by their ends, each marked if it is worse."""
    first, *others = options
    marked = [o.model_copy(update={"worse": any(_beats(x, o) for x in options if x is not o)}) for o in others]
    return [first, *sorted(marked, key=lambda option: (end_of(option), _slots(option)))]


def end_of(option: Option) -> float:
    """When it would end, in seconds since the epoch; infinite where nobody knows."""
    return math.inf if option.end is None else option.end.at


def _beats(one: Option, other: Option) -> bool:
    """It is over earlier (where that is the same, begun), takes no more slots, and delays others no more.

    One that is known to be over at the same time does so where it takes fewer slots.
    """
    mine, yours = ((end_of(option), _start_of(option)) for option in (one, other))
    better = mine < yours or (mine == yours and one.end is not None and _slots(one) < _slots(other))
    return better and _slots(one) <= _slots(other) and _harm(one) <= _harm(other)


def _start_of(option: Option) -> float:
    return math.inf if option.start is None else option.start.at


def _slots(option: Option) -> int:
    return option.workers_max * option.slots


def _harm(option: Option) -> tuple[int, int, float]:
    return len(option.stopped) + len(option.shrunk), option.delayed, sum(delay.seconds for delay in option.delays)
