"""Tells a remote dataset which rows come soon, further ahead than batches are made."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.data.arrays import Int64s
from orchestrator.data.order import Order
from orchestrator.data.row_reader import RowReader

POSITIONS = 8192
"""How far ahead of the batches that are announced; said anew when half of them are used up."""


class ReadAhead:
    """What a dataset was told of an epoch. All ranks of a node name nearly the same rows: they share its cache.

    Args:
        dataset: told nothing where it is local.
    """

    def __init__(self, dataset: RowReader) -> None:
        self._dataset = dataset
        self._epoch, self._start = -1, 0

    def tell(self, epoch: int, positions: Int64s, order_of: Callable[[int], Order]) -> None:
        """Positions (n,) of an epoch are loaded soon, and probably those after them."""
        if not self._dataset.remote or not len(positions):
            return
        first = int(positions[0])
        if epoch == self._epoch and 0 <= first - self._start < POSITIONS // 2:
            return
        order = order_of(epoch)
        self._epoch, self._start = epoch, first
        self._dataset.prefetch(order.rows_between(first, min(order.positions, first + POSITIONS)))
