"""Non-negative least squares with a prior, weighted for relative errors, and robust against outliers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Vector = Sequence[float]

_SWEEPS = 2000
_CLOSE = 1e-10
_HUBER = 1.345
"""Residuals beyond so many standard deviations count less; 95 % as efficient as least squares on normal errors
(Huber, "Robust Statistics")."""
_ROUNDS = 12
_LEAST_SPREAD = 0.02


def nnls(gram: Sequence[Vector], target: Vector) -> list[float]:
    """The x >= 0 that minimises x'Gx / 2 - t'x: coordinate descent, each coordinate exactly, then cut at 0.

    Args:
        gram: (n, n), symmetric and positive definite.
        target: (n,).
    """
    size = len(target)
    found = [0.0] * size
    for _ in range(_SWEEPS):
        moved = 0.0
        for i in range(size):
            slope = target[i] - sum(g * x for g, x in zip(gram[i], found, strict=True))
            new = max(0.0, found[i] + slope / gram[i][i])
            moved = max(moved, abs(new - found[i]))
            found[i] = new
        if moved <= _CLOSE * max(1.0, *found):
            break
    return found


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed before anything was measured.

    Attributes:
        coefficients: of each column, positive.
        scale_error: standard deviation of the logarithm of a factor that all of them may be off by.
        spread: relative standard deviation of each of them about that common factor.
        noise: relative standard deviation of one measurement.
    """

    coefficients: tuple[float, ...]
    scale_error: float = 0.7
    spread: float = 0.7
    noise: float = 0.1


def fit(rows: Sequence[Vector], targets: Vector, weights: Vector, prior: Prior) -> tuple[float, ...]:
    """Coefficients c >= 0 of target = row . c, where the relative error counts.

    First a factor common to all of the prior's coefficients is found (a robust mean of the logarithms of the ratios,
    shrunk towards 1), then each coefficient about it. Without measurements it is the prior.

    Args:
        rows: (n, k), not negative.
        targets: (n,), positive.
        weights: (n,), how much each measurement counts; 1 is one whole measurement.
        prior: of the k coefficients.
    """
    if not targets:
        return prior.coefficients
    expected = [_dot(row, prior.coefficients) for row in rows]
    factor = _common_factor(expected, targets, weights, prior)
    base = [factor * c for c in prior.coefficients]
    scaled = [[x * b / y for x, b in zip(row, base, strict=True)] for row, y in zip(rows, targets, strict=True)]
    stiffness = (prior.noise / prior.spread) ** 2
    robust = [1.0] * len(targets)
    found = [1.0] * len(base)
    for _ in range(_ROUNDS):
        found, before = _weighted(scaled, [w * r for w, r in zip(weights, robust, strict=True)], stiffness), found
        residuals = [_dot(row, found) - 1.0 for row in scaled]
        robust = huber_weights(residuals)
        if max(abs(a - b) for a, b in zip(found, before, strict=True)) < 1e-4:
            break
    return tuple(f * b for f, b in zip(found, base, strict=True))


def huber_weights(residuals: Vector) -> list[float]:
    """1 near the middle, less far from it; the spread is told by the median of the sizes, which outliers do not move.

    Args:
        residuals: of the last round.
    """
    spread = max(_LEAST_SPREAD, 1.4826 * statistics.median(abs(r) for r in residuals))
    return [min(1.0, _HUBER * spread / max(abs(r), 1e-12)) for r in residuals]


def _common_factor(expected: Vector, targets: Vector, weights: Vector, prior: Prior) -> float:
    """The posterior mean of the logarithm of targets / expected."""
    ratios = [math.log(y / e) for y, e in zip(targets, expected, strict=True)]
    middle = statistics.median(ratios)
    robust = huber_weights([r - middle for r in ratios])
    counted = [w * r for w, r in zip(weights, robust, strict=True)]
    noise = prior.noise**2 + prior.spread**2 / len(prior.coefficients)
    total = sum(counted) + noise / prior.scale_error**2
    return math.exp(_dot(counted, ratios) / total)


def _weighted(rows: Sequence[Vector], weights: Vector, stiffness: float) -> list[float]:
    """Minimises sum w (row . f - 1)^2 + stiffness |f - 1|^2 over f >= 0."""
    size = len(rows[0])
    gram = [[stiffness * (i == j) for j in range(size)] for i in range(size)]
    target = [stiffness] * size
    for row, weight in zip(rows, weights, strict=True):
        for i, left in enumerate(row):
            part = weight * left
            target[i] += part
            line = gram[i]
            for j, right in enumerate(row):
                line[j] += part * right
    return nnls(gram, target)


def _dot(left: Vector, right: Vector) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))
