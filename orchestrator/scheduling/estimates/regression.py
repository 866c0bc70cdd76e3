"""Non-negative least squares with a prior, weighted for relative errors, and robust against outliers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Vector = Sequence[float]

_CLOSE = 1e-12
_HUBER = 1.345
"""Residuals beyond so many standard deviations count less; 95 % as efficient as least squares on normal errors
(Huber, "Robust Statistics")."""
_ROUNDS = 15
_FARTHEST = 1.0  # of the logarithm, in one step
_LEAST_SPREAD = 0.02


def nnls(gram: Sequence[Vector], target: Vector) -> list[float]:
    """The x >= 0 that minimises x'Gx / 2 - t'x, by active sets.

    Source: Lawson and Hanson, "Solving Least Squares Problems", 1974, chapter 23.

    Args:
        gram: (n, n), symmetric and positive definite.
        target: (n,).
    """
    size = len(target)
    found, free = [0.0] * size, list[int]()
    close = _CLOSE * max(map(abs, target), default=0.0)
    for _ in range(3 * size):
        slopes = {i: target[i] - dot(gram[i], found) for i in range(size) if i not in free}
        best = max(slopes, key=lambda i: slopes[i], default=-1)
        if best < 0 or slopes[best] <= close:
            break
        free.append(best)
        found, free = _until_positive(gram, target, found, free)
    return found


def _until_positive(
    gram: Sequence[Vector], target: Vector, found: list[float], free: list[int]
) -> tuple[list[float], list[int]]:
    """The best x with these coordinates free; those that would turn negative on the way to it are fixed at 0."""
    while True:
        part = [[gram[i][j] for j in free] for i in free]
        wanted = dict(zip(free, _solve(part, [target[i] for i in free]), strict=True))
        if all(value > 0 for value in wanted.values()):
            return [wanted.get(i, 0.0) for i in range(len(found))], free
        step = min(found[i] / (found[i] - wanted[i]) for i in free if wanted[i] <= 0)
        found = [x + step * (wanted[i] - x) if i in wanted else 0.0 for i, x in enumerate(found)]
        free = [i for i in free if not (wanted[i] <= 0 and found[i] <= _CLOSE)]
        found = [x if i in free else 0.0 for i, x in enumerate(found)]


def _solve(matrix: list[list[float]], target: list[float]) -> list[float]:
    """By elimination; a positive definite matrix needs no pivots."""
    size = len(target)
    for column in range(size):
        for row in range(column + 1, size):
            factor = matrix[row][column] / matrix[column][column]
            target[row] -= factor * target[column]
            for place in range(column, size):
                matrix[row][place] -= factor * matrix[column][place]
    found = [0.0] * size
    for row in reversed(range(size)):
        rest = sum(matrix[row][place] * found[place] for place in range(row + 1, size))
        found[row] = (target[row] - rest) / matrix[row][row]
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
    spread: float = 1.5
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
    expected = [dot(row, prior.coefficients) for row in rows]
    factor = _common_factor(expected, targets, weights, prior)
    base = [factor * c for c in prior.coefficients]
    scaled = [[x * b / y for x, b in zip(row, base, strict=True)] for row, y in zip(rows, targets, strict=True)]
    stiffness = (prior.noise / prior.spread) ** 2
    found = [1.0] * len(base)
    for _ in range(_ROUNDS):
        ratios = [dot(row, found) for row in scaled]  # expected / measured
        logs = [-math.log(ratio) for ratio in ratios]
        counted = [w * r for w, r in zip(weights, huber_weights(logs), strict=True)]
        # Gauss and Newton's step on the logarithms: relative to what was measured, noise would pull everything down.
        steps = [[x / ratio for x in row] for row, ratio in zip(scaled, ratios, strict=True)]
        aims = [1.0 + max(-_FARTHEST, min(_FARTHEST, value)) for value in logs]
        found, before = _weighted(steps, aims, counted, stiffness), found
        if max(abs(a - b) for a, b in zip(found, before, strict=True)) < 1e-3:
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
    return math.exp(dot(counted, ratios) / total)


def _weighted(rows: Sequence[Vector], aims: Vector, weights: Vector, stiffness: float) -> list[float]:
    """Minimises sum w (row . f - aim)^2 + stiffness |f - 1|^2 over f >= 0."""
    size = len(rows[0])
    gram = [[stiffness * (i == j) for j in range(size)] for i in range(size)]
    target = [stiffness] * size
    for row, aim, weight in zip(rows, aims, weights, strict=True):
        for i, left in enumerate(row):
            part = weight * left
            target[i] += part * aim
            for j in range(i + 1):
                gram[i][j] += part * row[j]
    for i in range(size):
        for j in range(i):
            gram[j][i] = gram[i][j]
    return nnls(gram, target)


def dot(left: Vector, right: Vector) -> float:
    """The sum of the products."""
    return sum(a * b for a, b in zip(left, right, strict=True))
