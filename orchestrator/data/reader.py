"""Reads rows of a split by number, in any order, without copying, and checks the checksum of every one of them.

Arrow is not asked: the side table says where each value lies in its shard, and a slice of the memory map is the value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from orchestrator.base.errors import NotFound, UsageError
from orchestrator.data.arrays import AnyArray, Int64s, Structured
from orchestrator.data.checksum import mismatches, record_seeds
from orchestrator.data.index import DatasetIndex
from orchestrator.data.schema import Schema, decode_value
from orchestrator.data.shardmaps import ShardMaps

OnCorrupt = Literal["fail", "skip"]

# Sizes of all shards are checked when a dataset of up to this many is opened; of more, when a shard is mapped.
_CHECKED_AT_OPENING = 10_000


@dataclass(frozen=True)
class Rows:
    """Rows that were read and found whole.

    `rows` (n,) are their numbers; `values` has for each part of a column (`Column.parts`) n views of the encoded bytes
    (of text and lists too: see `schema.decode_value`), and an array (n,) for an 8-byte column. `skipped` are the
    corrupt rows that were asked for and left out.
    """

    rows: Int64s
    values: dict[str, Sequence[memoryview] | AnyArray]
    skipped: Int64s


class ShardedDataset:
    """One split of a dataset, memory-mapped.

    Picklable: a copy opens the same files again.

    Args:
        location: the dataset's folder, or its URL.
        split: which split.
        on_corrupt: `fail` raises ShardCorrupt at the first bad record; `skip` leaves it out of what is read and keeps
            its number in `corrupt_rows`.

    Raises:
        NotFound: there is no such dataset or split.
        DataError: the index is damaged or of a newer format.
        ShardCorrupt: a shard is absent or has not the size in the index.
    """

    def __init__(self, location: Path | str, split: str, *, on_corrupt: OnCorrupt = "fail") -> None:
        if on_corrupt not in ("fail", "skip"):
            raise UsageError(f"on_corrupt is fail or skip, not {on_corrupt!r}")
        self.index = DatasetIndex.open(location)
        self.split = self.index.split(split)
        self.on_corrupt = on_corrupt
        self.corrupt_rows: set[int] = set()
        self._maps = ShardMaps(self.index.files, self.index.catalog)
        stop = self.split.first_row + self.split.rows
        self._records: Structured = self.index.table.records[self.split.first_row : stop]
        self._shard_starts = self.index.first_rows[self.split.first_shard :][: self.split.shards] - self.split.first_row
        if not self.index.files.remote and self.split.shards <= _CHECKED_AT_OPENING:
            for shard in range(self.split.first_shard, self.split.first_shard + self.split.shards):
                self.index.files.shard(shard)

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, (self.index.location, self.split.name, self.on_corrupt)

    def __len__(self) -> int:
        return self.split.rows

    @property
    def version(self) -> str:
        """The dataset's version."""
        return self.index.version

    @property
    def schema(self) -> Schema:
        """The dataset's columns."""
        return self.index.schema

    def fixed_column(self, name: str) -> AnyArray:
        """All values (rows,) of an 8-byte column such as the labels, straight from the side table."""
        if not self.schema.column(name).fixed:
            raise UsageError(f"column {name!r} has values of any length; read it row by row")
        return self._records[name]

    def read(self, row: int) -> dict[str, Any]:
        """One record: encoded bytes as a view, text as str, numbers as int or float, lists as arrays.

        Raises:
            ShardCorrupt: its checksum differs, whatever `on_corrupt` says: there is nothing to return.
        """
        found = self.read_many(np.array([row], dtype=np.int64))
        if found.skipped.size:
            raise self._corrupt(found.skipped)
        record: dict[str, Any] = {}
        for column in self.schema.columns:
            if column.fixed:
                record[column.name] = found.values[column.name][0].item()  # type: ignore[union-attr]
            else:
                record[column.name] = decode_value(column, *(found.values[part][0] for part in column.parts))
        return record

    def read_many(self, rows: Int64s) -> Rows:
        """The records of `rows` (n,), in the order asked for.

        Raises:
            NotFound: a row is outside the split.
            ShardCorrupt: a checksum differs and `on_corrupt` is `fail`.
        """
        if rows.size and not (int(rows.min()) >= 0 and int(rows.max()) < self.split.rows):
            raise NotFound(f"{self.split.name} has rows 0 to {self.split.rows - 1} only")
        records = self._records[rows]
        fixed = {column.name: records[column.name] for column in self.schema.fixed}
        seeds = record_seeds(list(fixed.values()), len(rows)).tolist()
        views = {part: self._views(rows, records, part) for part in self.schema.parts}
        bad = mismatches(seeds, list(views.values()), records["checksum"].tolist())
        if not bad:
            return Rows(rows, {**views, **fixed}, np.empty(0, dtype=np.int64))
        return self._without(bad, rows, views, fixed)

    def _views(self, rows: Int64s, records: Structured, part: str) -> list[memoryview]:
        starts = records[f"{part}.offset"]
        ends = starts + records[f"{part}.length"]
        if self.split.shards == 1:
            view = self._maps[self.split.first_shard]
            return [view[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        shards = np.searchsorted(self._shard_starts, rows, side="right") + (self.split.first_shard - 1)
        maps = self._maps
        return [
            maps[shard][start:end]
            for shard, start, end in zip(shards.tolist(), starts.tolist(), ends.tolist(), strict=True)
        ]

    def _without(
        self, bad: list[int], rows: Int64s, views: dict[str, list[memoryview]], fixed: dict[str, AnyArray]
    ) -> Rows:
        if self.on_corrupt == "fail":
            raise self._corrupt(rows[bad])
        keep = np.ones(len(rows), dtype=bool)
        keep[bad] = False
        self.corrupt_rows.update(rows[bad].tolist())
        whole = np.flatnonzero(keep).tolist()
        values: dict[str, Sequence[memoryview] | AnyArray] = {
            name: [column[place] for place in whole] for name, column in views.items()
        }
        return Rows(rows[keep], values | {name: column[keep] for name, column in fixed.items()}, rows[bad])

    def _corrupt(self, rows: Int64s) -> Exception:
        shards = np.searchsorted(self._shard_starts, rows, side="right") - 1
        same = rows[shards == shards[0]]
        return self.index.catalog.corrupt(
            int(shards[0]) + self.split.first_shard, "has records with a wrong checksum", same
        )


def _open(location: Path | str, split: str, on_corrupt: OnCorrupt) -> ShardedDataset:
    return ShardedDataset(location, split, on_corrupt=on_corrupt)
