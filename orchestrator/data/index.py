"""Opens a dataset's index: its header and its mapped side table, which alone answer where a row is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.base.errors import NotFound
from orchestrator.data.arrays import Int64s
from orchestrator.data.catalog import Catalog
from orchestrator.data.files import LocalFiles, ShardFiles
from orchestrator.data.header import Header, check_version, read_header
from orchestrator.data.schema import Schema
from orchestrator.data.table import TABLE_FILE, Table
from orchestrator.spec.place import parse_location

if TYPE_CHECKING:
    from orchestrator.data.remote.settings import RemoteSettings


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
    """An open index. Cheap to open whatever the number of rows: nothing is read but the header and the shard table.

    Attributes:
        location: what was opened, to open it again: a folder or a URL.
        files: where its shards come from.
    """

    def __init__(
        self, location: Path | str, header: Header, schema: Schema, table: Table, catalog: Catalog, files: ShardFiles
    ) -> None:
        self.location = location
        self.header = header
        self.schema = schema
        self.table = table
        self.catalog = catalog
        self.files = files

    @classmethod
    def open(cls, location: Path | str, *, remote: RemoteSettings | None = None) -> DatasetIndex:
        """Open the dataset at `location`, a folder or a URL such as `s3://bucket/data/cifar10`.

        Args:
            location: where.
            remote: how a remote one is fetched and kept; default: as the environment says.

        Raises:
            NotFound: there is none.
            UsageError: a URL that is not used.
            DataError: index or table are damaged, do not belong together, or are of a newer format.
            RemoteUnavailable: it cannot be fetched now.
        """
        place = parse_location(location)
        if isinstance(place, Path):
            return cls._open_folder(place)
        from orchestrator.data.remote.opening import open_remote  # fsspec and its drivers take a second to import
        from orchestrator.data.remote.settings import RemoteSettings

        opened = open_remote(place, remote or RemoteSettings.from_environment())
        header = opened.header
        return cls(place.url, header, opened.schema, opened.table, opened.catalog, opened.files)

    @classmethod
    def _open_folder(cls, root: Path) -> DatasetIndex:
        header = read_header(root)
        schema = Schema.of(header.columns)
        table = Table.open(root / TABLE_FILE, schema, size=header.table.bytes)
        check_version(header, table.shards, str(root))
        catalog = Catalog(str(root), header, table.shards)
        return cls(root, header, schema, table, catalog, LocalFiles(root, catalog))

    @property
    def root(self) -> Path:
        """The local folder of its files: the dataset itself, or its part of the node's cache."""
        return self.files.folder

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
            raise NotFound(f"{self.location} has no split {name!r}", hint=f"its splits: {', '.join(self.splits)}")
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
        return self.catalog.name(shard), part.first_row + row - int(self.first_rows[shard])
