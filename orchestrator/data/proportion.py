"""Exact straight lines in whole numbers: floor((x * rise + offset) / run) beyond what 64-bit products hold."""

from __future__ import annotations

import numpy as np

from orchestrator.data.arrays import Int64s

MOST = 1 << 40
"""The most that `run` may be."""

_HALF = 20
_LOW = (1 << _HALF) - 1
_SMALL = 1 << 31  # up to such a run the product of two numbers below it is exact


class Proportion:
    """The line y(x) = floor((x * rise + offset) / run), for x in 0..run; it never falls.

    `run` things are spread over `rise` units as evenly as whole numbers allow; `offset` shifts where the steps are.

    Args:
        rise: 0 to 2**61.
        run: 1 to 2**40.
        offset: 0 to 2**61.
    """

    def __init__(self, rise: int, run: int, offset: int = 0) -> None:
        assert 0 <= rise <= 1 << 61
        assert 0 < run <= MOST
        assert 0 <= offset <= 1 << 61
        self._rise, self._run, self._offset = rise, run, offset
        self._whole, self._rest = divmod(rise, run)
        self._base, self._first = divmod(offset, run)
        # With x = high * 2**20 + low every product below stays under 2**61.
        self._high_whole, self._high_rest = divmod(self._rest << _HALF, run)

    def at(self, x: Int64s) -> Int64s:
        """Y of each x (N,) in 0..run."""
        if self._run <= _SMALL:
            small: Int64s = x * self._whole + (x * self._rest + self._first) // self._run + self._base
            return small
        high, low = x >> _HALF, x & _LOW
        rest = (high * self._high_rest + low * self._rest + self._first) // self._run
        y: Int64s = x * self._whole + high * self._high_whole + rest + self._base
        return y

    def first(self, y: Int64s) -> Int64s:
        """The least x in 0..run with y(x) >= y, for each y (N,); run where there is none."""
        scale = self._run / max(1, self._rise)
        near = np.floor(y * scale - self._offset / max(1, self._rise)).astype(np.int64)
        x: Int64s = np.clip(near - 1, 0, self._run)
        while True:  # at most three times: the estimate is wrong by less than two
            short = (self.at(x) < y) & (x < self._run)
            if not short.any():
                return x
            x += short
