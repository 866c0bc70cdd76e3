"""Errors of estimates: measured by predicting what was left out, mixed with what is believed before."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

QUANTILE_10 = 1.2815515655446004
"""Standard deviations between the median of a normal distribution and its 10th or 90th percentile."""


@dataclass(frozen=True, slots=True)
class Believed:
    """An error that is believed before any was measured.

    Attributes:
        error: standard deviation of the logarithm of (true / estimated).
        worth: so many measured errors count as much.
    """

    error: float
    worth: float


def pooled(logs: Sequence[float], prior: Believed) -> float:
    """Root mean square of logarithms of (true / estimated), the prior's counted in."""
    total = prior.worth * prior.error**2 + sum(value * value for value in logs)
    return math.sqrt(total / (prior.worth + len(logs)))


def folds(count: int, most: int) -> Iterator[list[int]]:
    """Leave-one-out where there are few, else `most` parts: places of those that are left out at once."""
    parts = min(count, most)
    for part in range(parts):
        yield list(range(part, count, parts))


def within(logs: Sequence[float], groups: Iterable[Sequence[int]]) -> list[float]:
    """How far each one lies from what the others of its group predict; of groups of one, nothing.

    Args:
        logs: of (true / estimated).
        groups: places of those that are alike.
    """
    found = []
    for places in groups:
        if len(places) > 1:
            total = sum(logs[i] for i in places)
            found += [logs[i] - (total - logs[i]) / (len(places) - 1) for i in places]
    return found


def correction(logs: Sequence[float]) -> tuple[float, float]:
    """How many, and their mean shrunk towards 0: one alone counts for two thirds."""
    return float(len(logs)), sum(logs) / (len(logs) + 0.5)


def interval(seconds: float, error: float) -> tuple[float, float]:
    """Between these lie 8 of 10 true values, if the logarithms of the errors are normal."""
    factor = math.exp(QUANTILE_10 * error)
    return seconds / factor, seconds * factor


def shrunk_median(values: Sequence[float], prior: float, worth: float = 1.0) -> float:
    """The geometric mean of the prior and the median, which outliers do not move."""
    if not values:
        return prior
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    count = float(len(values))
    return math.exp((worth * math.log(prior) + count * math.log(max(median, 1e-6))) / (worth + count))
