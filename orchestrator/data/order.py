"""The order of an epoch: a pure function of (seed, epoch, data version, shuffle), computed and not stored.

It knows nothing of workers: whatever the world size, position `p` of an epoch is the same row of the split.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from orchestrator.data.arrays import Int64s
from orchestrator.data.keyed import derive_key
from orchestrator.data.permutation import KeyedPermutation


@dataclass(frozen=True)
class Shuffle:
    """How an epoch is shuffled; part of a run's identity.

    `none` reads rows as they lie; `full` is one permutation of all rows; `window` permutes the shards, then the rows
    inside each window of `window` consecutive shards of that permutation.
    """

    kind: Literal["none", "full", "window"]
    window: int = 0

    def __str__(self) -> str:
        return f"window({self.window})" if self.kind == "window" else self.kind


SEQUENTIAL = Shuffle("none")
FULL = Shuffle("full")


class _Arrangement(Protocol):
    def rows_at(self, positions: Int64s) -> Int64s: ...

    def positions_of(self, rows: Int64s) -> Int64s: ...


class EpochOrder:
    """Which row stands at which position of one epoch; every row at exactly one.

    Args:
        rows: of the split.
        seed: of the run.
        epoch: from 0.
        version: of the dataset; another version has another order.
        shuffle: see `Shuffle`.
        shard_rows: rows of each shard of the split, in shard order; needed by `window` only.
    """

    def __init__(
        self,
        rows: int,
        *,
        seed: int,
        epoch: int,
        version: str,
        shuffle: Shuffle,
        shard_rows: Int64s | None = None,
    ) -> None:
        self.rows = rows
        key = ("epoch-order", seed, epoch, version, str(shuffle), rows)
        self._arrangement: _Arrangement
        if shuffle.kind == "window":
            if shard_rows is None or int(shard_rows.sum()) != rows:
                raise ValueError("a window shuffle needs the rows of every shard, and their sum is the split's rows")
            self._arrangement = _Windowed(shard_rows, shuffle.window, key)
        elif shuffle.kind == "full":
            self._arrangement = _Full(rows, key)
        else:
            self._arrangement = _Sequential()

    def rows_at(self, positions: Int64s) -> Int64s:
        """The rows at `positions` (n,), in their order; positions past the end wrap to the start."""
        return self._arrangement.rows_at(positions % self.rows)

    def rows_between(self, start: int, stop: int) -> Int64s:
        """The rows at positions start..stop."""
        return self.rows_at(np.arange(start, stop, dtype=np.int64))

    def positions_of(self, rows: Int64s) -> Int64s:
        """Where `rows` (n,) fall in the epoch: the inverse of `rows_at`."""
        return self._arrangement.positions_of(rows)


class _Sequential:
    """Rows as they lie."""

    def rows_at(self, positions: Int64s) -> Int64s:
        return positions.copy()

    def positions_of(self, rows: Int64s) -> Int64s:
        return rows.copy()


class _Full:
    """One permutation of all rows."""

    def __init__(self, rows: int, key: tuple[str | int, ...]) -> None:
        self._permutation = KeyedPermutation(rows, derive_key(*key))

    def rows_at(self, positions: Int64s) -> Int64s:
        return self._permutation.apply(positions)

    def positions_of(self, rows: Int64s) -> Int64s:
        return self._permutation.invert(rows)


class _Windowed:
    """A permutation of the shards, then one of the rows inside each window; memory O(shards)."""

    def __init__(self, shard_rows: Int64s, window: int, key: tuple[str | int, ...]) -> None:
        shards = len(shard_rows)
        self._key = key
        self._window = window
        self._shards = KeyedPermutation(shards, derive_key(*key, "shards"))
        self._shard_in_slot = self._shards.apply(np.arange(shards, dtype=np.int64))
        self._first_row = _starts(shard_rows)
        self._slot_start = _starts(shard_rows[self._shard_in_slot])
        self._window_start = np.append(self._slot_start[:-1][::window], self._slot_start[-1])

    def rows_at(self, positions: Int64s) -> Int64s:
        shuffled = self._within_windows(positions, inverse=False)
        slot = np.searchsorted(self._slot_start, shuffled, side="right") - 1
        return self._first_row[self._shard_in_slot[slot]] + shuffled - self._slot_start[slot]

    def positions_of(self, rows: Int64s) -> Int64s:
        shard = np.searchsorted(self._first_row, rows, side="right") - 1
        slot = self._shards.invert(shard)
        return self._within_windows(self._slot_start[slot] + rows - self._first_row[shard], inverse=True)

    def _within_windows(self, places: Int64s, *, inverse: bool) -> Int64s:
        result = np.empty_like(places)
        windows = np.searchsorted(self._window_start, places, side="right") - 1
        for window in np.unique(windows).tolist():
            chosen = windows == window
            start, stop = self._window_start[window : window + 2].tolist()
            permutation = KeyedPermutation(stop - start, derive_key(*self._key, "window", window))
            local = places[chosen] - start
            result[chosen] = (permutation.invert(local) if inverse else permutation.apply(local)) + start
        return result


def _starts(counts: Int64s) -> Int64s:
    """Prefix sums with a leading zero: (n + 1,)."""
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts
