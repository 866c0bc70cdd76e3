"""Writes a dataset: shards first, then the side table, index.json last, so that half a dataset is none."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from orchestrator.base.errors import Conflict, DataError
from orchestrator.base.files import sync_folder, write_json
from orchestrator.data.arrays import Structured
from orchestrator.data.catalog import shard_file
from orchestrator.data.header import FORMAT, Description, Header, SplitPart, TablePart, content_version
from orchestrator.data.schema import Schema, encode_value
from orchestrator.data.shard import ShardEntry, ShardWriter
from orchestrator.data.table import SHARD_TYPE, TABLE_FILE, write_table
from orchestrator.spec.placement import INDEX_FILE

_MARKER = ".building"
_SPLIT = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Limits:
    """When a record batch and a shard are full; whatever comes first."""

    shard_bytes: int = 128 * 2**20
    shard_rows: int = 2**20
    batch_bytes: int = 10 * 10**6
    batch_rows: int = 2**16


class DatasetWriter:
    """Writes one dataset; the same records in the same order give the same bytes.

    A context manager: leaving it by an exception leaves no index, and so no dataset.

    Args:
        root: the folder; made where it is absent. What an interrupted build left in it is deleted.
        schema: the columns.
        description: name, classes, statistics.
        limits: sizes of shards and record batches.

    Raises:
        Conflict: there is a finished dataset at `root`, or it holds files of somebody else.
    """

    def __init__(self, root: Path, schema: Schema, description: Description, *, limits: Limits | None = None) -> None:
        if (root / INDEX_FILE).exists():
            raise Conflict(f"{root} already holds a dataset", hint="delete it first, or build into another folder")
        self._claim = _claim(root)
        self._root = root
        self._schema = schema
        self._description = description
        self._limits = limits or Limits()
        self._splits: dict[str, _SplitWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with self._claim:
            if kind is None:
                self._finish()
            else:
                for split in self._splits.values():
                    split.abandon()

    def add_split(self, name: str) -> None:
        """Declare a split, so that it exists even without rows; splits lie in the order in which they are named."""
        if not _SPLIT.fullmatch(name):
            raise DataError(f"bad split name {name!r}", hint="use lower-case letters, digits and _")
        if name not in self._splits:
            self._splits[name] = _SplitWriter(self._root, name, self._schema, self._limits)

    def write(self, split: str, record: Mapping[str, Any]) -> None:
        """Append one record, a value for each column, to a split."""
        if split not in self._splits:
            self.add_split(split)
        self._splits[split].write(record)

    def _finish(self) -> None:
        entries = {name: split.finish() for name, split in self._splits.items()}
        splits: dict[str, SplitPart] = {}
        row = shard = 0
        for name, parts in entries.items():
            rows = sum(len(part.records) for part in parts)
            size = sum(part.size for part in parts)
            splits[name] = SplitPart(first_row=row, rows=rows, first_shard=shard, shards=len(parts), bytes=size)
            row, shard = row + rows, shard + len(parts)
        every = [part for parts in entries.values() for part in parts]
        shards = _shard_table(every)
        size, digest = write_table(self._root / TABLE_FILE, self._schema, shards, (part.records for part in every))
        header = Header(
            format=FORMAT,
            version=content_version(self._description, self._schema.pairs, splits, shards),
            description=self._description,
            columns=self._schema.pairs,
            splits=splits,
            table=TablePart(bytes=size, sha256=digest),
        )
        sync_folder(self._root)
        write_json(self._root / INDEX_FILE, header.model_dump(mode="json"))
        (self._root / _MARKER).unlink()


class _SplitWriter:
    """Gathers records into batches, and batches into shards, of one split."""

    def __init__(self, root: Path, name: str, schema: Schema, limits: Limits) -> None:
        self._root = root
        self._name = name
        self._schema = schema
        self._limits = limits
        self._entries: list[ShardEntry] = []
        self._shard: ShardWriter | None = None
        self._shard_bytes = self._shard_rows = 0
        self._empty_batch()

    def write(self, record: Mapping[str, Any]) -> None:
        values = self._values(record)
        for name, value in values.items():
            self._batch[name].append(value)
        self._batch_rows += 1
        self._batch_bytes += sum(len(value) if isinstance(value, bytes) else 8 for value in values.values())
        full_shard = (
            self._shard_rows + self._batch_rows >= self._limits.shard_rows
            or self._shard_bytes + self._batch_bytes >= self._limits.shard_bytes
        )
        if full_shard or self._batch_bytes >= self._limits.batch_bytes or self._batch_rows >= self._limits.batch_rows:
            self._flush_batch()
        if full_shard:
            self._close_shard()

    def finish(self) -> list[ShardEntry]:
        if self._batch_rows:
            self._flush_batch()
        if self._shard is not None:
            self._close_shard()
        return self._entries

    def abandon(self) -> None:
        if self._shard is not None:
            self._shard.abandon()

    def _values(self, record: Mapping[str, Any]) -> dict[str, Any]:
        if record.keys() != {column.name for column in self._schema.columns}:
            wanted = ", ".join(column.name for column in self._schema.columns)
            raise DataError(f"a record has the columns {', '.join(record)}", hint=f"the dataset has {wanted}")
        values: dict[str, Any] = {}
        for column in self._schema.columns:
            value = record[column.name]
            if not column.fixed:
                values.update(zip(column.parts, encode_value(column, value), strict=True))
            elif column.kind == "float64":
                values[column.name] = float(value)
            else:
                values[column.name] = int(value)
        return values

    def _empty_batch(self) -> None:
        self._batch: dict[str, list[Any]] = {
            name: [] for name in (*self._schema.parts, *(c.name for c in self._schema.fixed))
        }
        self._batch_rows = self._batch_bytes = 0

    def _flush_batch(self) -> None:
        if self._shard is None:
            self._shard = ShardWriter(self._root / shard_file(self._name, len(self._entries)), self._schema)
        self._shard.write(self._batch, self._batch_rows)
        self._shard_rows += self._batch_rows
        self._shard_bytes += self._batch_bytes
        self._empty_batch()

    def _close_shard(self) -> None:
        assert self._shard is not None
        self._entries.append(self._shard.finish())
        self._shard = None
        self._shard_bytes = self._shard_rows = 0


def _claim(root: Path) -> IO[str]:
    """Make `root` ours and empty; the marker tells what an interrupted build left from what is somebody else's.

    Returns:
        The open marker, locked: as long as it is open nobody else builds there.
    """
    root.mkdir(parents=True, exist_ok=True)
    marker = root / _MARKER
    left = [path for path in root.iterdir() if path != marker]
    if left and not marker.exists():
        raise Conflict(f"{root} is not empty: it holds {left[0].name}", hint="build into a new folder")
    claim = marker.open("a")
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        claim.close()
        raise Conflict(
            f"another process builds {root} at this moment", hint="wait for it, or build elsewhere"
        ) from None
    if not marker.exists():  # that build ended while we opened its marker
        claim.close()
        raise Conflict(f"{root} already holds a dataset", hint="delete it first, or build elsewhere")
    for path in root.iterdir():
        if path != marker:
            path.unlink()
    return claim


def _shard_table(entries: list[ShardEntry]) -> Structured:
    shards = np.zeros(len(entries), dtype=SHARD_TYPE)
    shards["rows"] = [len(entry.records) for entry in entries]
    shards["first_row"] = np.cumsum(shards["rows"]) - shards["rows"]
    shards["bytes"] = [entry.size for entry in entries]
    for number, entry in enumerate(entries):
        shards["sha256"][number] = np.frombuffer(entry.sha256, dtype=np.uint8)
    return shards
