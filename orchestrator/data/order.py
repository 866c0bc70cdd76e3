"""The order of an epoch: a pure function of (seed, epoch, data version, shuffle), computed and not stored.

It knows nothing of workers: whatever the world size, position `p` of an epoch is the same row of the split.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from orchestrator.base.errors import UsageError
from orchestrator.data.arrays import Int64s
from orchestrator.data.keyed import derive_key
from orchestrator.data.permutation import KeyedPermutation, KeyedPermutations


@dataclass(frozen=True)
class Shuffle:
    """How an epoch is shuffled; part of a run's identity.

    `none` reads rows as they lie; `full` is one permutation of all rows; `window` permutes the shards, then the rows
    inside each window of `window` consecutive shards of that permutation.
    """

    kind: Literal["none", "full", "window"]
    window: int = 0

    def __post_init__(self) -> None:
        if self.kind == "window" and self.window < 1:
            raise UsageError(f"a window of {self.window} shards holds no rows", hint="use at least 1")

    def __str__(self) -> str:
        return f"window({self.window})" if self.kind == "window" else self.kind

    @classmethod
    def parse(cls, text: str) -> Shuffle:
        """The inverse of `str`; `{window: 64}` of workloads and `window=64` are read too.

        Raises:
            UsageError: it is none of `full`, `none`, `{window: K}`.
        """
        if text in ("none", "full"):
            return SEQUENTIAL if text == "none" else FULL
        found = _WINDOW.fullmatch(text)
        if found is None:
            raise UsageError(f"there is no shuffle {text!r}", hint="use full, none or {window: 64} (64 shards)")
        return cls("window", int(found[1]))


_WINDOW = re.compile(r"[{]?window *[:=(] *([0-9]+)[)}]?")
SEQUENTIAL = Shuffle("none")
FULL = Shuffle("full")


class Order(Protocol):
    """Which row stands at each position of one epoch: without resampling each row at one, else at any number."""

    @property
    def positions(self) -> int:
        """How many positions the epoch has."""
        ...

    def rows_at(self, positions: Int64s) -> Int64s:
        """The rows at `positions` (N,), in their order; positions past the end wrap to the start."""
        ...

    def rows_between(self, start: int, stop: int) -> Int64s:
        """The rows at positions start..stop."""
        ...

    def places_of(self, row: int) -> Int64s:
        """All positions (n,) of one row, rising; none where the epoch leaves it out."""
        ...


class _Arrangement(Protocol):
    def rows_at(self, positions: Int64s) -> Int64s: ...

    def positions_of(self, rows: Int64s) -> Int64s: ...


class EpochOrder:
    """The order without resampling: every row at exactly one position.

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
        self.positions = rows
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
        """The rows at `positions` (N,), in their order; positions past the end wrap to the start."""
        return self._arrangement.rows_at(positions % self.positions)

    def rows_between(self, start: int, stop: int) -> Int64s:
        """The rows at positions start..stop."""
        return self.rows_at(np.arange(start, stop, dtype=np.int64))

    def positions_of(self, rows: Int64s) -> Int64s:
        """Where each of `rows` (N,) falls in the epoch: the inverse of `rows_at`."""
        return self._arrangement.positions_of(rows)

    def places_of(self, row: int) -> Int64s:
        """The one position (1,) of a row."""
        return self.positions_of(np.array([row], dtype=np.int64))


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
    """A permutation of the shards, then one of the rows inside each window; memory O(shards).

    Shards stand in slots; a window is `window` slots in a row, the last one perhaps fewer.
    """

    def __init__(self, shard_rows: Int64s, window: int, key: tuple[str | int, ...]) -> None:
        shards = len(shard_rows)
        self._window = window
        self._shards = KeyedPermutation(shards, derive_key(*key, "shards"))
        self._shard_in_slot = self._shards.apply(np.arange(shards, dtype=np.int64))
        self._first_row = starts_of(shard_rows)
        self._slot_start = starts_of(shard_rows[self._shard_in_slot])
        self._window_start = np.append(self._slot_start[:-1][::window], self._slot_start[-1])
        self._windows = KeyedPermutations(derive_key(*key, "windows"))

    def rows_at(self, positions: Int64s) -> Int64s:
        window, start, size = self._window_of(positions)
        shuffled = self._windows.apply(positions - start, size, window) + start
        slot = self._slot_of(shuffled, window)
        return self._first_row[self._shard_in_slot[slot]] + shuffled - self._slot_start[slot]

    def positions_of(self, rows: Int64s) -> Int64s:
        shard = np.searchsorted(self._first_row, rows, side="right") - 1
        slot = self._shards.invert(shard)
        shuffled = self._slot_start[slot] + rows - self._first_row[shard]
        window, start, size = self._window_of(shuffled)
        return self._windows.invert(shuffled - start, size, window) + start

    def _window_of(self, places: Int64s) -> tuple[Int64s, Int64s, Int64s]:
        """Number, first place and size of the window of each place (N,); (1,) where all lie in one, as a batch does."""
        ends = [places.min(), places.max()] if places.size else [0, 0]
        window = np.searchsorted(self._window_start, ends, side="right") - 1
        one = window[0] == window[1]
        window = window[:1] if one else np.searchsorted(self._window_start, places, side="right") - 1
        start = self._window_start[window]
        return window, start, self._window_start[window + 1] - start

    def _slot_of(self, places: Int64s, window: Int64s) -> Int64s:
        """The slot of each place (N,), searched among those of its window only where they share it."""
        if len(window) > 1:
            return np.searchsorted(self._slot_start, places, side="right") - 1
        first = int(window[0]) * self._window
        inside = self._slot_start[first : first + self._window + 1]
        return np.searchsorted(inside, places, side="right") + (first - 1)


def starts_of(counts: Int64s) -> Int64s:
    """Prefix sums with a leading zero: (n + 1,)."""
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts
