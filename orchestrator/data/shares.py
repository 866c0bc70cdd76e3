"""How often each row is to come: fixed-point prefix sums over all rows, searched by point, mostly on disk.

A row's factor is a whole number of units; which unit, its maker says. Sums of whole numbers do not depend on the order
of summation or on the machine. Kept are the sums before every 32nd row (memory-mapped where there are many rows) and
before every 8,192nd (in memory: 1 MB for a billion rows); the factors between are asked for anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from orchestrator.base.errors import DataError
from orchestrator.data.arrays import AnyArray, Int64s
from orchestrator.data.order import starts_of

MOST_UNITS = 1 << 61
"""The most that all factors of a split may sum to."""

BLOCK = 32
_GROUP = 256
_PASS_ROWS = 1 << 18
_PIECE = 4096

Progress = Callable[[int, int], None]
Allocate = Callable[[str, int], Int64s]
"""(name, count) -> an array of that many int64, in memory or in a mapped file."""


class Factors(Protocol):
    """Every row's factor, in whole units."""

    def of(self, rows: Int64s | slice) -> Int64s:
        """The factors (N,) of these rows."""
        ...


@dataclass(frozen=True)
class ClassFactors:
    """The factor of a row is that of its class.

    Attributes:
        levels: (classes + 1,) the factor of each class; the last one is of rows without a class.
        codes: (rows,) each row's class; -1, or the number of classes, where it has none.
    """

    levels: Int64s
    codes: AnyArray

    def of(self, rows: Int64s | slice) -> Int64s:
        """The factors (N,) of these rows."""
        return self.levels[self.codes[rows]]


@dataclass(frozen=True)
class WeightFactors:
    """The factor of a row is its weight, times a power of two, rounded."""

    scale: float
    weights: AnyArray

    def of(self, rows: Int64s | slice) -> Int64s:
        """The factors (N,) of these rows."""
        return np.rint(self.weights[rows] * self.scale).astype(np.int64)


@dataclass(frozen=True)
class Shares:
    """The units of all rows, laid end to end in the order of the rows.

    Attributes:
        factors: of the rows.
        rows: how many there are.
        coarse: the units before every 8,192nd row.
        fine: the units before every 32nd row, and after the last one.
        shards: (S + 1,) the units before each shard, and after the last one.
    """

    factors: Factors
    rows: int
    coarse: Int64s
    fine: Int64s
    shards: Int64s

    @property
    def total(self) -> int:
        """All units."""
        return int(self.shards[-1])

    def before(self, row: int) -> int:
        """The units of all rows before `row`."""
        block = row // BLOCK
        inside = self.factors.of(slice(block * BLOCK, row)).sum() if row % BLOCK else 0
        return int(self.fine[block]) + int(inside)

    def rows_at(self, points: Int64s) -> Int64s:
        """The row that each of `points` (N,) in [0, total) falls into; never one without units."""
        if len(points) <= _PIECE:
            return self._rows_at(points)
        pieces = range(0, len(points), _PIECE)
        return np.concatenate([self._rows_at(points[start : start + _PIECE]) for start in pieces])

    def _rows_at(self, points: Int64s) -> Int64s:
        block = self._blocks_at(points)
        rows = block[:, None] * BLOCK + np.arange(BLOCK, dtype=np.int64)
        if len(rows) and rows.max() >= self.rows:
            units = self.factors.of(np.minimum(rows, self.rows - 1)) * (rows < self.rows)
        else:
            units = self.factors.of(rows)
        ends = np.cumsum(units, axis=1, out=units)
        ends += self.fine[block][:, None]
        found: Int64s = rows[:, 0] + np.count_nonzero(ends <= points[:, None], axis=1)
        return found

    def _blocks_at(self, points: Int64s) -> Int64s:
        """The last block that begins at or before each point: coarse sums first, then eight halvings among 256."""
        block = (np.searchsorted(self.coarse, points, side="right") - 1) * _GROUP
        last = len(self.fine) - 1
        step = _GROUP // 2
        while step:
            further = np.minimum(block + step, last)
            block = np.where(self.fine[further] <= points, further, block)
            step //= 2
        return block


def sum_up(
    factors: Factors, shard_rows: Int64s, allocate: Allocate | None = None, progress: Progress | None = None
) -> Shares:
    """One pass over the factors of all rows.

    Args:
        factors: of the rows of a split.
        shard_rows: rows of each of its shards.
        allocate: makes the arrays; default: in memory.
        progress: called with (rows done, rows in all).

    Raises:
        DataError: all factors are zero.
    """
    make = allocate or (lambda name, count: np.empty(count, dtype=np.int64))
    starts = starts_of(shard_rows)
    rows = int(starts[-1])
    fine, shards = make("fine", -(-rows // BLOCK) + 1), make("shards", len(starts))
    total = 0
    for first in range(0, rows, _PASS_ROWS):
        stop = min(rows, first + _PASS_ROWS)
        sums = starts_of(factors.of(slice(first, stop))) + total
        fine[first // BLOCK : -(-stop // BLOCK)] = sums[:-1:BLOCK]
        begin, end = np.searchsorted(starts, [first, stop])
        shards[begin:end] = sums[starts[begin:end] - first]
        total = int(sums[-1])
        if progress is not None:
            progress(stop, rows)
    shards[np.searchsorted(starts, rows) :] = total
    fine[-1] = total
    if not total:
        raise DataError("no row would ever be drawn: all weights are zero", hint="resample by another column")
    coarse = make("coarse", -(-len(fine) // _GROUP))
    coarse[:] = fine[::_GROUP]
    return Shares(factors, rows, coarse, fine, shards)
