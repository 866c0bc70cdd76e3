"""One parameter of a design space: an interval, a quantum, and how values are spread over it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Scale = Literal["log", "linear"]


@dataclass(frozen=True)
class Axis:
    """Values from the closed interval [low, high] that are multiples of the quantum.

    Sampling and quantisation are those of the authors' code (pycls, `uniform` and `log_uniform`); its
    `power2_or_log_uniform`, which it uses for group widths, is the same as `log` wherever low >= quantum.

    Attributes:
        low: smallest value, a multiple of the quantum.
        high: largest value, a multiple of the quantum.
        quantum: values are its multiples, exact in decimal notation (24.5, not 24.500000000000004).
        scale: `linear`: all values are equally likely; `log`: the logarithm is uniform.
    """

    low: float
    high: float
    quantum: float
    scale: Scale = "log"

    def faults(self) -> Iterable[str]:
        """What is wrong with the axis, each in words that fit after its name."""
        if not all(math.isfinite(v) for v in (self.low, self.high, self.quantum)) or self.quantum <= 0:
            yield f"needs finite ends and a positive step, not {self.low:g}..{self.high:g} in steps of {self.quantum:g}"
            return
        if self.low > self.high:
            yield f"{self.low:g}..{self.high:g} is empty: its first number is the larger one"
        if self.scale == "log" and self.low <= 0:
            yield f"starts at {self.low:g}, but a logarithmic axis starts above 0"
        for end in dict.fromkeys((self.low, self.high)):
            if Decimal(str(end)) % Decimal(str(self.quantum)) != 0:
                yield f"ends at {end:g}, which is no multiple of its step {self.quantum:g}"

    def value(self, uniform: float) -> float:
        """The value for a uniform random number in [0, 1)."""
        picked = self._floored(uniform) if self.scale == "linear" else self._ceiled(uniform)
        return min(max(picked, float(self.low)), float(self.high))

    @property
    def counts(self) -> tuple[int, int]:
        """The least and the largest value, in quanta."""
        return self.count(self.low), self.count(self.high)

    def count(self, value: float) -> int:
        """How many quanta a value of this axis is."""
        return round(value / self.quantum)

    def at(self, count: int) -> float:
        """The value of so many quanta."""
        return self._multiple(count)

    def _floored(self, uniform: float) -> float:
        """From [low, high + quantum), rounded down: every multiple owns an interval of one quantum."""
        continuous = self.low + (self.high + self.quantum - self.low) * uniform
        return self._multiple(math.floor(continuous / self.quantum))

    def _ceiled(self, uniform: float) -> float:
        """Log-uniform from (low - min(quantum, low / 2), high], rounded up."""
        bottom, top = math.log(self.low - min(self.quantum, self.low / 2)), math.log(self.high)
        continuous = math.exp(top - (top - bottom) * uniform)
        return self._multiple(math.ceil(continuous / self.quantum))

    def _multiple(self, count: int) -> float:
        return float(count * Decimal(str(self.quantum)))
