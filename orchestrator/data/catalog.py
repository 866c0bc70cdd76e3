"""The shards of a dataset by number: their files, sizes, digests and rows, and how damage to one is worded."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from orchestrator.base.errors import NotFound, ShardCorrupt
from orchestrator.data.arrays import Int64s, Structured
from orchestrator.data.header import Header

_ROWS_NAMED = 16


def shard_file(split: str, number: int) -> str:
    """The file name of a shard: `train-00007.arrow`."""
    return f"{split}-{number:05d}.arrow"


@dataclass(frozen=True)
class RowRange:
    """Rows `first` to `last`, both included, of a split."""

    split: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.split} rows {self.first} to {self.last}"


@dataclass(frozen=True)
class Catalog:
    """What the index knows of the shards; they are counted over the whole dataset.

    Attributes:
        location: of the dataset, as messages name it: a path or a URL.
        header: the index.
        shards: (S,) of SHARD_TYPE.
    """

    location: str
    header: Header
    shards: Structured

    @cached_property
    def _splits(self) -> tuple[list[int], list[str]]:
        """Where the shards of each split that has any start, and the names of those splits."""
        parts = sorted((part.first_shard, name) for name, part in self.header.splits.items() if part.shards)
        return [first for first, _ in parts], [name for _, name in parts]

    def split(self, shard: int) -> str:
        """The split that a shard belongs to."""
        if not 0 <= shard < len(self.shards):
            raise NotFound(f"{self.location} has no shard {shard}", hint=f"it has {len(self.shards)}")
        firsts, names = self._splits
        return names[bisect_right(firsts, shard) - 1]

    def name(self, shard: int) -> str:
        """The file name of a shard."""
        split = self.split(shard)
        return shard_file(split, shard - self.header.splits[split].first_shard)

    def url(self, shard: int) -> str:
        """The whole path or URL of a shard."""
        return f"{self.location.rstrip('/')}/{self.name(shard)}"

    def size(self, shard: int) -> int:
        """Bytes of a shard's file."""
        return int(self.shards["bytes"][shard])

    def sha256(self, shard: int) -> bytes:
        """The digest of a shard's file."""
        return bytes(self.shards["sha256"][shard])

    def records(self, shard: int) -> tuple[int, int]:
        """The first record of a shard in the side table, and the one after its last."""
        first = int(self.shards["first_row"][shard])
        return first, first + int(self.shards["rows"][shard])

    def rows(self, shard: int) -> RowRange:
        """The rows of its split that a shard holds."""
        split = self.split(shard)
        first, stop = (record - self.header.splits[split].first_row for record in self.records(shard))
        return RowRange(split, first, stop - 1)

    def corrupt(self, shard: int, what: str, rows: Int64s | None = None, *, note: str = "") -> ShardCorrupt:
        """The error that names a shard and rows of its split (all of the shard's where none are given)."""
        every = self.rows(shard)
        named = str(every) if rows is None else f"{every.split} rows {_listed(rows)}"
        return ShardCorrupt(
            f"shard {self.url(shard)} {what} ({named}){note}",
            hint=f"copy the shard again or build the dataset again, then: orchestrator data verify {self.location}",
            lasting="://" not in self.location,
        )


def _listed(rows: Int64s) -> str:
    more = f" and {len(rows) - _ROWS_NAMED} more" if len(rows) > _ROWS_NAMED else ""
    return ", ".join(map(str, rows[:_ROWS_NAMED].tolist())) + more
