"""The error EDF of a population of models, and the numbers that describe it."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

_INTERVALS = 5
"""Into about so many do thresholds cut the range of the errors."""
_SMALLEST = 1e-9
"""Errors closer than this are one error to a person."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Edf:
    """The error empirical distribution function of n models (arXiv 2003.13678, equation 1).

    ::

        F(e) = 1/n * sum_i 1[e_i < e]

    Attributes:
        errors: of all models, ascending.
    """

    errors: tuple[float, ...]

    @classmethod
    def of(cls, errors: Sequence[float]) -> Edf:
        """The EDF of these errors, in any order."""
        return cls(tuple(sorted(float(error) for error in errors)))

    def __call__(self, error: float) -> float:
        """The fraction of models with an error below `error`."""
        return self.below(error) / len(self.errors) if self.errors else 0.0

    def below(self, error: float) -> int:
        """How many models have an error below `error`."""
        return bisect_left(self.errors, error)

    def up_to(self, error: float) -> float:
        """The fraction of models with an error of at most `error`."""
        return bisect_right(self.errors, error) / len(self.errors) if self.errors else 0.0

    def steps(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Where F rises, and its value just above: each (k,), k different errors."""
        at = tuple(dict.fromkeys(self.errors))
        return at, tuple(map(self.up_to, at))

    def quantile(self, fraction: float) -> float:
        """Of n errors, the one at position `fraction` x (n - 1), linear between two; what numpy calls `linear`.

        Raises:
            ValueError: there are no errors.
        """
        if not self.errors:
            raise ValueError("no models, no quantiles")
        position = fraction * (len(self.errors) - 1)
        low, part = self.errors[math.floor(position)], position - math.floor(position)
        high = self.errors[math.ceil(position)]
        return min(high, max(low, low * (1 - part) + high * part))

    @property
    def mean(self) -> float:
        """The mean error.

        Raises:
            ValueError: there are no errors.
        """
        if not self.errors:
            raise ValueError("no models, no mean")
        return math.fsum(self.errors) / len(self.errors)

    def numbers(self) -> dict[str, float]:
        """Minimum, quartiles, maximum and mean, by name.

        Raises:
            ValueError: there are no errors.
        """
        names = ("min", "lower_quartile", "median", "upper_quartile", "max")
        return {name: self.quantile(i / 4) for i, name in enumerate(names)} | {"mean": self.mean}

    def thresholds(self) -> tuple[float, ...]:
        """Round numbers (1, 2 or 5 times a power of ten apart) from above the lowest error to above the highest."""
        if not self.errors or (spread := self.errors[-1] - self.errors[0]) < _SMALLEST:
            return ()
        least = spread / _INTERVALS
        power = 10.0 ** math.floor(math.log10(least))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - _ROUNDING))
        # 0.3 is a multiple of 0.05, though 0.3 / 0.05 is a little below 6.
        first, last = (math.floor(end / step + _ROUNDING) + 1 for end in (self.errors[0], self.errors[-1]))
        return tuple(float(f"{number * step:.12g}") for number in range(first, last + 1))
