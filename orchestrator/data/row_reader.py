"""What a loader asks of the rows that it reads: those of one split, or of several mixed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np

from orchestrator.data.arrays import AnyArray, Int64s
from orchestrator.data.damage import OnCorrupt
from orchestrator.data.reader import Rows
from orchestrator.data.schema import Schema


class RowReader(Protocol):
    """Rows by number; `ShardedDataset` and `MixedDataset` are two. Picklable: a copy opens the same files again."""

    @property
    def schema(self) -> Schema:
        """Its columns."""
        ...

    @property
    def on_corrupt(self) -> OnCorrupt:
        """What becomes of damaged rows."""
        ...

    @property
    def corrupt_rows(self) -> set[int]:
        """The rows that were asked for, found damaged and left out so far."""
        ...

    @property
    def remote(self) -> bool:
        """Whether any shard may have to be fetched first."""
        ...

    @property
    def part_names(self) -> tuple[str, ...]:
        """Of the datasets that the rows are from."""
        ...

    def __len__(self) -> int: ...

    def parts_of(self, rows: Int64s) -> tuple[Int64s, Int64s]:
        """The number of the dataset, and the row in its split, of rows (N,)."""
        ...

    def read_many(self, rows: Int64s) -> Rows:
        """Records, verified, in the order asked for."""
        ...

    def fixed_values(self, name: str, rows: Int64s) -> AnyArray:
        """The values (n,) of an 8-byte column."""
        ...

    def prefetch(self, rows: Int64s) -> None:
        """Say which rows (n,) are read next, in order; returns at once."""
        ...

    def where(self, row: int) -> str:
        """A row's number, split, shard and dataset, for messages."""
        ...


def by_part(reader: RowReader, rows: Iterable[int]) -> dict[str, tuple[int, ...]]:
    """Rows by the name of the dataset that they are from, as numbers in its split, rising; datasets without any too."""
    parts, own = reader.parts_of(np.array(sorted(rows), dtype=np.int64))
    return {name: tuple(own[parts == number].tolist()) for number, name in enumerate(reader.part_names)}
