"""Bootstraps of a population's errors: the band of their EDF, and which parameters good models have.

Sources: "On Network Design Spaces" (Radosavovic et al., arXiv 1905.13214) and "Designing Network Design Spaces"
(Radosavovic et al., arXiv 2003.13678), section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from orchestrator.blueprint.edf import Edf

Floats = npt.NDArray[np.float64]
LEVEL = 0.95
SHARE = 0.25
REPEATS = 10_000
_ELEMENTS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Band:
    """A pointwise confidence band of an EDF.

    Attributes:
        at: errors (k,).
        low: lower ends just above each of them, (k,).
        high: upper ends, (k,).
    """

    at: Floats
    low: Floats
    high: Floats


def edf_band(edf: Edf, *, resamples: int, seed: int, level: float = LEVEL) -> Band | None:
    """The percentile bootstrap of an EDF: all n models are drawn anew with replacement.

    Args:
        edf: of the population.
        resamples: how often; 0: no band.
        seed: of the draws.
        level: of confidence.
    """
    count = len(edf.errors)
    if not resamples or count < 2:
        return None
    at = np.asarray(edf.steps()[0])
    errors = np.asarray(edf.errors)
    generator = np.random.default_rng(seed)
    fractions = np.empty((resamples, len(at)))
    for row in fractions:
        drawn = np.sort(errors[generator.integers(count, size=count)])
        row[:] = np.searchsorted(drawn, at, side="right") / count
    low, high = np.percentile(fractions, _tails(level), axis=0)
    return Band(at, low, high)


@dataclass(frozen=True)
class LikelyBest:
    """Which values of a parameter good models have: the interval, and the median as the most likely best value."""

    low: float
    median: float
    high: float


def likely_best(
    values: Sequence[float],
    errors: Sequence[float],
    *,
    seed: int,
    share: float = SHARE,
    repeats: int = REPEATS,
    level: float = LEVEL,
) -> LikelyBest:
    """The empirical bootstrap of "Designing Network Design Spaces", section 3.

    From n pairs (value, error): (1) sample 25 % of the pairs with replacement, (2) select the pair with the lowest
    error, (3) repeat 10,000 times, (4) the 95 % confidence interval of the selected values; their median is the most
    likely best value.

    Args:
        values: of the parameter, one a model.
        errors: of the models.
        seed: of the draws.
        share: of the pairs that each sample has; at least one pair.
        repeats: samples.
        level: of confidence.

    Raises:
        ValueError: no pairs, or not as many values as errors.
    """
    if not values or len(values) != len(errors):
        raise ValueError(f"{len(values)} values and {len(errors)} errors make no pairs")
    size = max(1, int(len(values) * share))
    all_values, all_errors = np.asarray(values, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    generator = np.random.default_rng(seed)
    selected = np.empty(repeats)
    rows = max(1, _ELEMENTS_AT_ONCE // size)
    for start in range(0, repeats, rows):
        drawn = generator.integers(len(all_values), size=(min(rows, repeats - start), size))
        best = drawn[np.arange(len(drawn)), np.argmin(all_errors[drawn], axis=1)]
        selected[start : start + len(drawn)] = all_values[best]
    low, high = np.percentile(selected, _tails(level))
    return LikelyBest(float(low), float(np.median(selected)), float(high))


def _tails(level: float) -> tuple[float, float]:
    """The percentiles that cut off equal tails."""
    return (50 * (1 - level), 50 * (1 + level))
