"""Reads rows of a split by number, in any order, without copying, and checks the checksum of every one of them.

Arrow is not asked: the side table says where each value lies in its shard, and a slice of the memory map is the value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from orchestrator.base.errors import NotFound, ShardCorrupt, UsageError
from orchestrator.data.arrays import AnyArray, Int64s, Structured
from orchestrator.data.catalog import RowRange
from orchestrator.data.checksum import mismatches, record_seeds
from orchestrator.data.damage import Damage, OnCorrupt
from orchestrator.data.index import DatasetIndex
from orchestrator.data.schema import Column, Schema, decode_value
from orchestrator.data.shardmaps import ShardMaps

if TYPE_CHECKING:
    from orchestrator.data.remote.settings import RemoteSettings

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
    """One split of a dataset, memory-mapped; of a remote one the shards are fetched into the node's cache when needed.

    Picklable: a copy opens the same files again. A fork may go on with it.

    A shard with a wrong checksum is fetched again once where the dataset is remote. What is damaged still is written to
    the quarantine (data/quarantine.py), and then `on_corrupt` decides.

    Args:
        location: the dataset's folder, or its URL.
        split: which split.
        on_corrupt: `fail` raises ShardCorrupt at the first damage; `skip` leaves damaged rows out of what is read and
            keeps their numbers in `corrupt_rows`, and damaged shards in `lost`. A store that does not answer is no
            damage: that fails under both.
        remote: how a remote dataset is fetched and kept; default: as the environment says.

    Raises:
        NotFound: there is no such dataset or split.
        DataError: the index is damaged or of a newer format.
        ShardCorrupt: a shard is absent or has not the size in the index.
        RemoteUnavailable: the store does not answer.
    """

    def __init__(
        self,
        location: Path | str,
        split: str,
        *,
        on_corrupt: OnCorrupt = "fail",
        remote: RemoteSettings | None = None,
    ) -> None:
        if on_corrupt not in ("fail", "skip"):
            raise UsageError(f"on_corrupt is fail or skip, not {on_corrupt!r}")
        self.index = DatasetIndex.open(location, remote=remote)
        self.split = self.index.split(split)
        self.on_corrupt = on_corrupt
        self._settings = remote
        self._files = self.index.files
        self._damage = Damage(self.index.catalog, on_corrupt)
        self._maps = ShardMaps(self._files, self.index.catalog)
        stop = self.split.first_row + self.split.rows
        self._records: Structured = self.index.table.records[self.split.first_row : stop]
        self._shard_starts = self.index.first_rows[self.split.first_shard :][: self.split.shards] - self.split.first_row
        if not self._files.remote and self.split.shards <= _CHECKED_AT_OPENING:
            for shard in range(self.split.first_shard, self.split.first_shard + self.split.shards):
                self._checked(shard)

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, (self.index.location, self.split.name, self.on_corrupt, self._settings)

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

    def column(self, name: str) -> Column:
        """A column; DataError where there is none of this name."""
        return self.schema.column(name)

    @property
    def split_name(self) -> str:
        """The split's name."""
        return self.split.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, by label; empty where the dataset does not say them."""
        return self.index.header.description.classes

    @property
    def part_names(self) -> tuple[str, ...]:
        """Where it lies: the one dataset that the rows are from."""
        return (str(self.index.location),)

    @property
    def remote(self) -> bool:
        """Whether shards may have to be fetched first."""
        return self._files.remote

    @property
    def corrupt_rows(self) -> set[int]:
        """The rows that were asked for, found damaged and left out so far."""
        return self._damage.rows

    @property
    def lost(self) -> tuple[RowRange, ...]:
        """The rows of whole shards that cannot be read, as far as they were found."""
        return tuple(self._damage.lost[shard] for shard in sorted(self._damage.lost))

    def parts_of(self, rows: Int64s) -> tuple[Int64s, Int64s]:
        """The number of the dataset, which is 0, and the row, of rows (N,)."""
        return np.zeros_like(rows), rows

    def where(self, row: int) -> str:
        """A row's number, split, shard and dataset, for messages."""
        shard, _ = self.index.locate(self.split.name, row)
        return f"row {row} of {self.split.name} (shard {shard} of {self.index.location})"

    def prefetch(self, rows: Int64s) -> None:
        """Say which rows (n,) are read next, in order; returns at once. The last word counts. Local: no-op."""
        if self._files.remote and rows.size:
            shards, first = np.unique(self._shards_of(rows), return_index=True)
            wanted = shards[np.argsort(first)].tolist()
            self._files.prefetch([shard for shard in wanted if shard not in self._maps])

    def check_table(self) -> None:
        """Have the whole side table here, and compare its SHA-256 with the index: once a process, and when it changes.

        Raises:
            DataError: it is damaged.
        """
        self._files.check_table()

    def fixed_column(self, name: str, *, checked: bool = True) -> AnyArray:
        """All values (rows,) of an 8-byte column such as the labels, straight from the side table.

        Args:
            name: of the column.
            checked: call `check_table` first; without it, for who has another way to find what is damaged.
        """
        if not self.schema.column(name).fixed:
            raise UsageError(f"column {name!r} has values of any length; read it row by row")
        if checked:
            self.check_table()
        else:
            self._files.ensure_table()
        return self._records[name]

    def fixed_values(self, name: str, rows: Int64s) -> AnyArray:
        """The values (n,) of an 8-byte column of some rows; of a remote table no more than these are fetched.

        Reading the rows is what verifies them. Of rows that are not read call `check_table` first.
        """
        if not self.schema.column(name).fixed:
            raise UsageError(f"column {name!r} has values of any length; read it row by row")
        if self._files.remote:
            self._fetch(rows)
        return np.ascontiguousarray(self._records[name][rows])

    def read(self, row: int) -> dict[str, Any]:
        """One record: encoded bytes as a view, text as str, numbers as int or float, lists as arrays.

        Raises:
            ShardCorrupt: its checksum differs, whatever `on_corrupt` says: there is nothing to return.
        """
        found = self.read_many(np.array([row], dtype=np.int64))
        if found.skipped.size:
            raise self._damage.refuse(row, int(self._shards_of(found.skipped)[0]))
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
            ShardCorrupt: something is damaged and `on_corrupt` is `fail`.
            RemoteUnavailable: a shard cannot be fetched now.
        """
        if rows.size and not (int(rows.min()) >= 0 and int(rows.max()) < self.split.rows):
            raise NotFound(f"{self.split.name} has rows 0 to {self.split.rows - 1} only")
        while True:
            whole = self._readable(rows)
            try:
                found = self._read(rows if whole is None else rows[whole])
            except ShardCorrupt as error:
                self._give_up(rows, error)
                continue
            if found is not None:
                return found if whole is None else self._beside(rows, found)

    def _read(self, rows: Int64s) -> Rows | None:
        """Read rows of readable shards; None where it is worth another try."""
        if self._files.remote:
            self._fetch(rows)
        records = self._records[rows]
        fixed = {column.name: records[column.name] for column in self.schema.fixed}
        seeds = record_seeds(list(fixed.values()), len(rows)).tolist()
        views = {part: self._views(rows, records, part) for part in self.schema.parts}
        bad = mismatches(seeds, list(views.values()), records["checksum"].tolist())
        if not bad:
            return Rows(rows, {**views, **fixed}, np.empty(0, dtype=np.int64))
        return None if self._fetched_again(rows[bad]) else self._without(bad, rows, views, fixed)

    def _views(self, rows: Int64s, records: Structured, part: str) -> list[memoryview]:
        if not len(rows):
            return []
        starts = records[f"{part}.offset"]
        ends = starts + records[f"{part}.length"]
        if self.split.shards == 1:
            view = self._maps[self.split.first_shard]
            return [view[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        shards = self._shards_of(rows).tolist()
        maps = {shard: self._maps[shard] for shard in set(shards)}
        return [
            maps[shard][start:end] for shard, start, end in zip(shards, starts.tolist(), ends.tolist(), strict=True)
        ]

    def _without(
        self, bad: list[int], rows: Int64s, views: dict[str, list[memoryview]], fixed: dict[str, AnyArray]
    ) -> Rows:
        self._damage.found(rows[bad], self._shards_of(rows[bad]))
        keep = np.ones(len(rows), dtype=bool)
        keep[bad] = False
        whole = np.flatnonzero(keep).tolist()
        values: dict[str, Sequence[memoryview] | AnyArray] = {
            name: [column[place] for place in whole] for name, column in views.items()
        }
        return Rows(rows[keep], values | {name: column[keep] for name, column in fixed.items()}, rows[bad])

    def _readable(self, rows: Int64s) -> npt.NDArray[np.bool_] | None:
        """(n,) which rows are in shards that are not lost; None: all."""
        if not self._damage.lost:
            return None
        return ~np.isin(self._shards_of(rows), list(self._damage.lost))

    def _beside(self, rows: Int64s, found: Rows) -> Rows:
        """What was found, and all else that was asked for as skipped."""
        skipped = rows[~np.isin(rows, found.rows)]
        self._damage.rows.update(skipped.tolist())
        return Rows(found.rows, found.values, skipped)

    def _fetch(self, rows: Int64s) -> None:
        new = [shard for shard in np.unique(self._shards_of(rows)).tolist() if shard not in self._maps]
        if new:
            self._files.ensure(new)

    def _fetched_again(self, rows: Int64s) -> bool:
        """Fetch the shards of damaged rows again where that was not done before; whether any was."""
        again = [shard for shard in np.unique(self._shards_of(rows)).tolist() if self._files.refetch(shard)]
        for shard in again:
            self._maps.drop(shard)
        return bool(again)

    def _give_up(self, rows: Int64s, error: ShardCorrupt) -> None:
        """Find out which shards of `rows` cannot be read; raises under `fail`."""
        shards = [shard for shard in np.unique(self._shards_of(rows)).tolist() if shard not in self._damage.lost]
        readable = [self._checked(shard) for shard in shards]
        if all(readable):
            raise error

    def _checked(self, shard: int) -> bool:
        """Whether a shard can be read; raises under `fail` where not."""
        try:
            self._files.shard(shard)
        except ShardCorrupt as error:
            self._damage.lose(shard, error)
            self._maps.drop(shard)
            return False
        return True

    def _shards_of(self, rows: Int64s) -> Int64s:
        """(n,) the shards of rows, counted over the whole dataset."""
        return np.searchsorted(self._shard_starts, rows, side="right") + (self.split.first_shard - 1)


def _open(location: Path | str, split: str, on_corrupt: OnCorrupt, remote: RemoteSettings | None) -> ShardedDataset:
    return ShardedDataset(location, split, on_corrupt=on_corrupt, remote=remote)
