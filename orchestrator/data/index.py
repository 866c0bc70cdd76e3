"""Opens a dataset's index: its header and its mapped side table, which alone answer where a row is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from orchestrator.base.errors import DataError, NotFound, ShardCorrupt
from orchestrator.data.arrays import Int64s
from orchestrator.data.header import Header, content_version, read_header
from orchestrator.data.schema import Schema
from orchestrator.data.table import TABLE_FILE, Table


def shard_file(split: str, number: int) -> str:
    """The file name of a shard: `train-00007.arrow`."""
    return f"{split}-{number:05d}.arrow"


@dataclass(frozen=True)
class SplitIndex:
    """One split: `first_row` and `first_shard` count over the whole dataset, `shard_rows` (S,) are its shards' rows."""

    name: str
    rows: int
    shards: int
    bytes: int
    first_row: int
    first_shard: int
    shard_rows: Int64s


class DatasetIndex:
    """An open index. Cheap to open whatever the number of rows: nothing is read but the header and the shard table."""

    def __init__(self, root: Path, header: Header, schema: Schema, table: Table) -> None:
        self.root = root
        self.header = header
        self.schema = schema
        self.table = table

    @classmethod
    def open(cls, root: Path) -> DatasetIndex:
        """Open the dataset at `root`.

        Raises:
            NotFound: there is none.
            DataError: index or table are damaged, do not belong together, or are of a newer format.
        """
        header = read_header(root)
        schema = Schema.of(header.columns)
        table = Table.open(root / TABLE_FILE, schema, size=header.table.bytes)
        if content_version(header.description, header.columns, header.splits, table.shards) != header.version:
            raise DataError(
                f"the index of {root} does not have the content that its version names", hint="build the dataset again"
            )
        return cls(root, header, schema, table)

    @property
    def version(self) -> str:
        """SHA-256 of the content, in hex."""
        return self.header.version

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits, as they lie."""
        parts = self.header.splits
        return tuple(sorted(parts, key=lambda name: (parts[name].first_shard, parts[name].first_row)))

    def split(self, name: str) -> SplitIndex:
        """One split; NotFound where the dataset has none of this name."""
        part = self.header.splits.get(name)
        if part is None:
            raise NotFound(f"{self.root} has no split {name!r}", hint=f"its splits: {', '.join(self.splits)}")
        rows = self.table.shards["rows"][part.first_shard : part.first_shard + part.shards]
        return SplitIndex(name, part.rows, part.shards, part.bytes, part.first_row, part.first_shard, rows.copy())

    @cached_property
    def first_rows(self) -> Int64s:
        """(S,) the first row of every shard, counted over the whole dataset."""
        return self.table.shards["first_row"].copy()

    def locate(self, split: str, row: int) -> tuple[str, int]:
        """The file of the shard that holds a row of a split, and the row's number in it."""
        part = self.split(split)
        if not 0 <= row < part.rows:
            raise NotFound(f"{split} has no row {row}", hint=f"its rows are 0 to {part.rows - 1}")
        shard = int(np.searchsorted(self.first_rows, part.first_row + row, side="right")) - 1
        return self.shard_name(shard), part.first_row + row - int(self.first_rows[shard])

    def shard_name(self, shard: int) -> str:
        """The file name of a shard, counted over the whole dataset."""
        for name, part in self.header.splits.items():
            if part.first_shard <= shard < part.first_shard + part.shards:
                return shard_file(name, shard - part.first_shard)
        raise NotFound(f"{self.root} has no shard {shard}")

    def check_size(self, shard: int) -> Path:
        """The path of a shard whose size is right: a truncated file under a memory map would end the process.

        Raises:
            ShardCorrupt: it is absent or of another size.
        """
        path = self.root / self.shard_name(shard)
        expected = int(self.table.shards["bytes"][shard])
        try:
            size = os.stat(path).st_size
        except OSError as error:
            raise self.corrupt(shard, f"cannot be read: {error.strerror}") from error
        if size != expected:
            raise self.corrupt(shard, f"has {size} bytes, {expected} expected")
        return path

    def corrupt(self, shard: int, what: str, rows: Int64s | None = None) -> ShardCorrupt:
        """The error that names a shard and rows of its split (all of the shard's where none are given)."""
        name = self.shard_name(shard)
        split = name.rpartition("-")[0]
        first = int(self.first_rows[shard]) - self.header.splits[split].first_row
        last = first + int(self.table.shards["rows"][shard]) - 1
        named = f"rows {first} to {last}" if rows is None else f"rows {', '.join(map(str, rows.tolist()[:16]))}"
        return ShardCorrupt(
            f"shard {self.root / name} {what} ({split} {named})",
            hint=f"copy the shard again or build the dataset again, then: orchestrator data verify {self.root}",
        )
