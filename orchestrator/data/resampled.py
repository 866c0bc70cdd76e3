"""Resampled epochs: which rows come how often, computed by the mechanism of the shuffle and not stored.

An epoch has L slots. The rows' shares are laid end to end on a line of length T; slot s takes the row at the point
floor((s T + V) / L), with V in [0, T) keyed by (seed, version, resampling) and moved on by the golden ratio from
epoch to epoch. This is systematic sampling: a row whose share is r comes floor or ceil of r L / T times an epoch, on
average over V exactly r L / T times, and nothing is drawn for any row. Then the slots are shuffled like rows.
"""

from __future__ import annotations

import numpy as np

from orchestrator.data.arrays import Int64s
from orchestrator.data.keyed import derive_key
from orchestrator.data.order import EpochOrder, Shuffle
from orchestrator.data.proportion import Proportion
from orchestrator.data.resample import Resample
from orchestrator.data.shares import Shares

# 2**64 over the golden ratio: multiples of it fall as evenly on the circle as those of any number can.
_GOLDEN = 0x9E3779B97F4A7C15


class ResampledOrder:
    """The order of a resampled epoch: a row stands at any number of positions.

    Args:
        shares: of all rows.
        slots: positions of the epoch.
        resample: see `Resample`.
        seed: of the run.
        epoch: from 0.
        version: of the dataset.
        shuffle: of the slots; `window` takes those of each shard together.
    """

    def __init__(
        self, shares: Shares, slots: int, resample: Resample, *, seed: int, epoch: int, version: str, shuffle: Shuffle
    ) -> None:
        self._shares = shares
        start = int.from_bytes(derive_key("resample", seed, version, str(resample))[:8], "little")
        shift = (start + epoch * _GOLDEN) % (1 << 64)
        self._line = Proportion(shares.total, slots, shares.total * shift >> 64)
        by_shard = np.diff(self._line.first(shares.shards)) if shuffle.kind == "window" else None
        identity = f"{version} {resample}"
        self._slots = EpochOrder(slots, seed=seed, epoch=epoch, version=identity, shuffle=shuffle, shard_rows=by_shard)

    @property
    def positions(self) -> int:
        """How many positions the epoch has."""
        return self._slots.positions

    def rows_at(self, positions: Int64s) -> Int64s:
        """The rows at `positions` (N,), in their order; positions past the end wrap to the start."""
        return self._shares.rows_at(self._line.at(self._slots.rows_at(positions)))

    def rows_between(self, start: int, stop: int) -> Int64s:
        """The rows at positions start..stop."""
        return self.rows_at(np.arange(start, stop, dtype=np.int64))

    def places_of(self, row: int) -> Int64s:
        """All positions (n,) of one row, rising; none where the epoch leaves it out."""
        bounds = np.array([self._shares.before(row), self._shares.before(row + 1)], dtype=np.int64)
        first, stop = self._line.first(bounds).tolist()
        return np.sort(self._slots.positions_of(np.arange(first, stop, dtype=np.int64)))
