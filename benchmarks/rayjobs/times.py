"""From moments to what is told of them; all moments are seconds since the epoch of one clock."""

from __future__ import annotations

import itertools
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_DRAWS, _ROUNDS = 2000, 3


@dataclass(frozen=True)
class Ratio:
    """Median of paired ratios, and its 95 % bootstrap interval, which says nothing of fewer than three rounds."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, own: Sequence[float], theirs: Sequence[float]) -> Ratio:
        """Of times that were measured in the same rounds."""
        pairs = [mine / other for mine, other in zip(own, theirs, strict=True)]
        generator = random.Random(1)
        medians = sorted(statistics.median(generator.choices(pairs, k=len(pairs))) for _ in range(_DRAWS))
        cut = _DRAWS // 40
        return cls(statistics.median(pairs), medians[cut], medians[-cut - 1], len(pairs))

    def __str__(self) -> str:
        interval = f"95 % interval {self.low:.3f} to {self.high:.3f}"
        return f"{self.median:.3f} ({interval if self.rounds >= _ROUNDS else 'too few rounds for an interval'})"


def turn(names: Sequence[str], number: int) -> tuple[str, ...]:
    """The order of a round: every other one goes backwards, so that a drift of the machine favours nobody."""
    return tuple(names if number % 2 == 0 else reversed(names))


def whole(spans: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """From the first beginning to the last end.

    Args:
        spans: at least one.
    """
    begins, ends = zip(*spans, strict=True)
    return min(begins), max(ends)


def parts(moments: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """Seconds from each moment to the next one of them; what is missing belongs to the part after it.

    Args:
        moments: when each was reached.
        names: of all, in order; the first is where time begins.
    """
    there = [name for name in names if name in moments]
    return {after: moments[after] - moments[before] for before, after in itertools.pairwise(there)}


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each name, over the rounds that have it, in the order of the first."""
    names = dict.fromkeys(name for found in rounds for name in found)
    return {name: statistics.median(found[name] for found in rounds if name in found) for name in names}
