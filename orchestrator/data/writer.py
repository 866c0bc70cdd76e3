"""Writes a dataset from records in hand, one after the other; `build` makes one from a source, in parallel."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from orchestrator.base.errors import DataError
from orchestrator.data.assembly import ShardFacts, assemble
from orchestrator.data.batch import RecordBatch
from orchestrator.data.catalog import shard_file
from orchestrator.data.claim import Claim
from orchestrator.data.header import Description
from orchestrator.data.schema import NAME_PATTERN, Schema
from orchestrator.data.shard import ShardEntry, ShardWriter


@dataclass(frozen=True)
class Limits:
    """When a record batch and a shard are full; whatever comes first."""

    shard_bytes: int = 128 * 2**20
    shard_rows: int = 2**20
    batch_bytes: int = 10 * 10**6
    batch_rows: int = 2**16

    def full(self, batch: RecordBatch) -> bool:
        """Whether a record batch should be written."""
        return batch.bytes >= self.batch_bytes or batch.rows >= self.batch_rows


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
        self._claim = Claim(root)
        self._root = root
        self._schema = schema
        self._description = description
        self._limits = limits or Limits()
        self._splits: dict[str, _SplitWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
            else:
                for split in self._splits.values():
                    split.abandon()
        finally:
            self._claim.release()

    def add_split(self, name: str) -> None:
        """Declare a split, so that it exists even without rows; splits lie in the order in which they are named."""
        if not re.fullmatch(NAME_PATTERN, name):
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
        shards = {
            name: [ShardFacts(len(part.records), part.size, part.sha256) for part in parts]
            for name, parts in entries.items()
        }
        records = (part.records for parts in entries.values() for part in parts)
        assemble(self._root, self._schema, self._description, shards, records)
        self._claim.finish()


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
        self._batch = RecordBatch(schema)

    def write(self, record: Mapping[str, Any]) -> None:
        self._batch.add(record)
        full_shard = (
            self._shard_rows + self._batch.rows >= self._limits.shard_rows
            or self._shard_bytes + self._batch.bytes >= self._limits.shard_bytes
        )
        if full_shard or self._limits.full(self._batch):
            self._flush_batch()
        if full_shard:
            self._close_shard()

    def finish(self) -> list[ShardEntry]:
        if self._batch.rows:
            self._flush_batch()
        if self._shard is not None:
            self._close_shard()
        return self._entries

    def abandon(self) -> None:
        if self._shard is not None:
            self._shard.abandon()

    def _flush_batch(self) -> None:
        if self._shard is None:
            self._shard = ShardWriter(self._root / shard_file(self._name, len(self._entries)), self._schema)
        self._shard.write(self._batch.columns, self._batch.rows)
        self._shard_rows += self._batch.rows
        self._shard_bytes += self._batch.bytes
        self._batch.clear()

    def _close_shard(self) -> None:
        assert self._shard is not None
        self._entries.append(self._shard.finish())
        self._shard = None
        self._shard_bytes = self._shard_rows = 0
