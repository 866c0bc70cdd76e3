"""Where a sample falls in an epoch: its position, step and place in the batch, and where its record lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.base.errors import NotFound
from orchestrator.data.arrays import Int64s
from orchestrator.data.batches import BatchPlan
from orchestrator.data.order import Order
from orchestrator.data.reader import ShardedDataset


@dataclass(frozen=True)
class Whereabouts:
    """One use of one sample in an epoch.

    Attributes:
        position: in the order of the epoch.
        row: of the split.
        shard: the file that holds the row.
        shard_row: which of the shard's rows it is.
        step: of the epoch; None where the last batch is dropped with it.
        place: in the batch of that step.
        counts: whether it does anything there; padding does not.
    """

    position: int
    row: int
    shard: str
    shard_row: int
    step: int | None
    place: int | None
    counts: bool


class EpochMap:
    """One epoch of a split: which sample stands where.

    Args:
        dataset: the split.
        order: of the epoch.
        plan: how it is cut into batches.
    """

    def __init__(self, dataset: ShardedDataset, order: Order, plan: BatchPlan) -> None:
        self._dataset, self._order, self.plan = dataset, order, plan

    def of_row(self, row: int) -> list[Whereabouts]:
        """Every use of a row, in the order in which they come; none where the epoch leaves it out.

        Raises:
            NotFound: the split has no such row.
        """
        if not 0 <= row < len(self._dataset):
            raise NotFound(f"{self._dataset.split.name} has no row {row}", hint=f"0 to {len(self._dataset) - 1}")
        return self._uses(self._order.places_of(row))

    def between(self, start: int, stop: int) -> list[Whereabouts]:
        """The uses of the samples at positions start..stop, batch by batch.

        Raises:
            NotFound: the epoch has no such positions.
        """
        if not 0 <= start < stop <= self._order.positions:
            raise NotFound(f"the epoch has no positions {start}:{stop}", hint=f"it has 0:{self._order.positions}")
        return self._uses(np.arange(start, stop, dtype=np.int64))

    def _uses(self, positions: Int64s) -> list[Whereabouts]:
        rows = self._order.rows_at(positions)
        index, split = self._dataset.index, self._dataset.split
        shards = np.searchsorted(index.first_rows, rows + split.first_row, side="right") - 1
        inside = rows + split.first_row - index.first_rows[shards]
        found: list[Whereabouts] = []
        columns = (column.tolist() for column in (positions, rows, shards, inside))
        for position, row, shard, shard_row in zip(*columns, strict=True):
            name = index.catalog.name(shard)
            for step, place in self._batches_of(position):
                counts = step is not None and place is not None and place < self.plan.real(step)
                found.append(Whereabouts(position, row, name, shard_row, step, place, counts))
        return sorted(found, key=lambda use: (use.step is None, use.step or 0, use.place or 0, use.position))

    def _batches_of(self, position: int) -> list[tuple[int | None, int | None]]:
        """(step, place) of a position: more than one where the last batch is filled up with it, None where dropped."""
        step, place = divmod(position, self.plan.batch_size)
        if step >= self.plan.steps:
            return [(None, None)]
        found: list[tuple[int | None, int | None]] = [(step, place)]
        last = self.plan.steps - 1
        filled = self.plan.samples - last * self.plan.batch_size
        again = np.flatnonzero(self.plan.positions(last)[filled:] % self.plan.samples == position) + filled
        return found + [(last, int(place)) for place in again]
