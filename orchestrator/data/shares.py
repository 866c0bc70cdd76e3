"""How often each row is to come: fixed-point prefix sums over all rows, searched by point, mostly on disk.

A row's factor is a whole number of units; which unit, its maker says. Sums of whole numbers do not depend on the order
of summation or on the machine. Kept are the sums before every 8th row (memory-mapped where there are many rows) and
before every 2,048th (in memory: 4 MB for a billion rows); the factors between are asked for anew.
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

BLOCK = 8
_GROUP = 256
_INSIDE = np.arange(BLOCK, dtype=np.int64)[:, None]
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
    """The factor of a row is its weight, times two to the power `bits`, rounded."""

    bits: int
    weights: AnyArray

    def of(self, rows: Int64s | slice) -> Int64s:
        """The factors (N,) of these rows."""
        return np.rint(np.ldexp(self.weights[rows], self.bits)).astype(np.int64)


@dataclass(frozen=True)
class Shares:
    """The units of all rows, laid end to end in the order of the rows.

    Attributes:
        factors: of the rows.
        rows: how many there are.
        coarse: the units before every 2,048th row.
        fine: the units before every 8th row; after the last one, up to a whole number of groups, all units.
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
        if not row % BLOCK:
            return int(self.fine[block])
        ends, _ = self._ends_of(np.array([block], dtype=np.int64))
        return int(ends[row % BLOCK - 1, 0])

    def rows_at(self, points: Int64s) -> Int64s:
        """The row that each of `points` (N,) in [0, total) falls into; never one without units.

        Raises:
            DataError: a factor is not what it was when they were summed.
        """
        if len(points) <= _PIECE:
            return self._rows_at(points)
        pieces = range(0, len(points), _PIECE)
        return np.concatenate([self._rows_at(points[start : start + _PIECE]) for start in pieces])

    def _rows_at(self, points: Int64s) -> Int64s:
        block = self._blocks_at(points)
        ends, first = self._ends_of(block)
        found: Int64s = first + np.count_nonzero(ends <= points, axis=0)
        return found

    def _ends_of(self, block: Int64s) -> tuple[Int64s, Int64s]:
        """The units up to and with each row of blocks (N,): (BLOCK, N), and the blocks' first rows (N,).

        The sums before and after a block were made when all was verified: they tell whether a factor has changed since.
        """
        first = block * BLOCK
        rows = first + _INSIDE
        ends = self._units_of(rows)
        ends[0] += self.fine[block]
        for row in range(1, BLOCK):
            ends[row] += ends[row - 1]
        wrong = ends[-1] != self.fine[block + 1]
        if wrong.any():
            raise _changed(int(first[wrong].min()))
        return ends, first

    def _units_of(self, rows: Int64s) -> Int64s:
        """The units of rows (BLOCK, N); none of those past the end."""
        try:
            if rows.size and int(rows[-1].max()) >= self.rows:
                return self.factors.of(np.minimum(rows, self.rows - 1)) * (rows < self.rows)
            return self.factors.of(rows)
        except IndexError as error:  # a label that is no class
            raise _changed(int(rows.min())) from error

    def _blocks_at(self, points: Int64s) -> Int64s:
        """The last block that begins at or before each point: coarse sums first, then halvings among 256."""
        block = (np.searchsorted(self.coarse, points, side="right") - 1) * _GROUP
        step = _GROUP // 2
        while step:
            block += (self.fine[block + step] <= points) * step
            step //= 2
        return block


def _changed(row: int) -> DataError:
    return DataError(
        f"labels or weights from row {row} on are not what was counted",
        hint="orchestrator data verify DATASET; where that finds nothing, delete resample/ in the state directory",
    )


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
    groups = -(-rows // (BLOCK * _GROUP))
    fine, shards = make("fine", groups * _GROUP + 1), make("shards", len(starts))
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
    fine[-(-rows // BLOCK) :] = total
    if not total:
        raise DataError("no row would ever be drawn: all weights are zero", hint="resample by another column")
    coarse = make("coarse", groups)
    coarse[:] = fine[:-1:_GROUP]
    return Shares(factors, rows, coarse, fine, shards)
