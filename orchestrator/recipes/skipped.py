"""Corrupt records that a worker found and left out: gathered, and told by shard now and then, never one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from orchestrator.data.index import DatasetIndex

SKIPPED_METRICS = {"skipped": "data/skipped_samples", "val_skipped": "data/skipped_validation_samples"}
"""What the tracker calls the two counts of an epoch's metrics: of all training so far, and of its evaluation."""
NAMED = 100
"""Rows that one word names at most; the others are only counted."""
_INTERVAL_SECONDS = 5.0


@dataclass(frozen=True)
class SkippedRows:
    """Corrupt rows of one shard.

    Attributes:
        split: whose rows they are.
        shard: the shard's file.
        rows: their numbers in the split, rising; the first `NAMED` ones.
        count: all of them.
    """

    split: str
    shard: str
    rows: tuple[int, ...]
    count: int

    def __str__(self) -> str:
        more = ", …" if self.count > len(self.rows) else ""
        named = ", ".join(map(str, self.rows))
        return f"left out {self.count} corrupt records of {self.shard}: {self.split} rows {named}{more}"


class SkipLog:
    """Remembers which rows were told already.

    Args:
        tell: told of each shard's new ones.
        interval: seconds between two words at least.
        now: a monotonic clock.
    """

    def __init__(
        self,
        tell: Callable[[SkippedRows], None] = lambda rows: None,
        *,
        interval: float = _INTERVAL_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell, self._interval, self._now = tell, interval, now
        self._said = float("-inf")
        self._known: dict[str, set[int]] = {}
        self._waiting: dict[str, tuple[DatasetIndex, set[int]]] = {}

    def note(self, index: DatasetIndex, split: str, corrupt: Collection[int]) -> None:
        """All rows of a split that were found corrupt so far."""
        known = self._known.setdefault(split, set())
        new = set(corrupt) - known
        if new:
            known |= new
            self._waiting.setdefault(split, (index, set()))[1].update(new)
        if self._waiting and self._now() - self._said >= self._interval:
            self.flush()

    def flush(self) -> None:
        """Tell what waits."""
        waiting, self._waiting = self._waiting, {}
        if waiting:
            self._said = self._now()
        for split, (index, rows) in waiting.items():
            for found in by_shard(index, split, rows):
                self._tell(found)


def by_shard(index: DatasetIndex, split: str, rows: Collection[int]) -> list[SkippedRows]:
    """Rows of a split, one entry for each shard that holds any."""
    ordered = np.array(sorted(rows), dtype=np.int64)
    shards = np.searchsorted(index.first_rows, ordered + index.split(split).first_row, side="right") - 1
    found = []
    for shard in np.unique(shards).tolist():
        here = ordered[shards == shard]
        found.append(SkippedRows(split, index.catalog.name(shard), tuple(here[:NAMED].tolist()), len(here)))
    return found
