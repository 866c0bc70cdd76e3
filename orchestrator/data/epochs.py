"""The orders of a split's epochs: with or without resampling, from one place."""

from __future__ import annotations

from orchestrator.data.order import EpochOrder, Order, Shuffle
from orchestrator.data.resample import Resample
from orchestrator.data.resampled import ResampledOrder
from orchestrator.data.tally import Progress, SplitRows, tally


class EpochOrders:
    """The orders of all epochs of a split; what resampling must know of its rows is found out once.

    Args:
        dataset: the split.
        seed: of the run.
        shuffle: see `Shuffle`.
        resample: None: each row once.
        progress: called with (rows done, rows in all) while rows are counted.

    Raises:
        UsageError: the column is not what the resampling needs.
        DataError: its values are not.
    """

    def __init__(
        self,
        dataset: SplitRows,
        *,
        seed: int,
        shuffle: Shuffle,
        resample: Resample | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._split, self._version = dataset.split, dataset.version
        self._seed, self._shuffle, self._resample = seed, shuffle, resample
        self._tally = tally(dataset, resample, progress) if resample is not None else None

    @property
    def note(self) -> str:
        """What the resampling found: classes without rows, rows that never come; else empty."""
        return self._tally.note if self._tally is not None else ""

    def order(self, epoch: int) -> Order:
        """The order of one epoch."""
        seed, version, shuffle = self._seed, self._version, self._shuffle
        if self._resample is None or self._tally is None:
            rows, by_shard = self._split.rows, self._split.shard_rows
            return EpochOrder(rows, seed=seed, epoch=epoch, version=version, shuffle=shuffle, shard_rows=by_shard)
        shares, slots = self._tally.shares, self._tally.slots
        return ResampledOrder(shares, slots, self._resample, seed=seed, epoch=epoch, version=version, shuffle=shuffle)


def order_of(dataset: SplitRows, *, seed: int, epoch: int, shuffle: Shuffle, resample: Resample | None = None) -> Order:
    """The order of one epoch of a split; for many epochs make `EpochOrders` once."""
    return EpochOrders(dataset, seed=seed, shuffle=shuffle, resample=resample).order(epoch)
