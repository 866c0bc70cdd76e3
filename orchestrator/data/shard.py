"""Writes one shard, an Arrow IPC file, and works out the table entries of its rows."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.data.arrays import Structured
from orchestrator.data.arrow import Views, arrow_schema, fixed_array, value_bounds, variable_array
from orchestrator.data.checksum import record_checksum, record_seeds
from orchestrator.data.schema import Schema
from orchestrator.data.table import record_type


@dataclass(frozen=True)
class ShardEntry:
    """A finished shard: its size, SHA-256, and one table record for each of its rows."""

    size: int
    sha256: bytes
    records: Structured


class ShardWriter:
    """Writes record batches to a temporary file; `finish` makes it durable under its name.

    Args:
        path: the shard's file.
        schema: its columns.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.tmp")
        self._schema = schema
        self._arrow = arrow_schema(schema)
        self._file = _HashingFile(self._temporary.open("wb"))
        self._stream = pa.ipc.new_file(pa.PythonFile(self._file, mode="w"), self._arrow)
        self._records: list[Structured] = []

    def write(self, columns: Mapping[str, Sequence[Any]], rows: int) -> None:
        """Write one record batch: bytes for each part of each variable column, numbers for the others."""
        arrays = []
        blobs: list[Views] = []
        records = np.zeros(rows, dtype=record_type(self._schema))
        for column in self._schema.columns:
            if column.fixed:
                records[column.name] = columns[column.name]
                arrays.append(fixed_array(column, records[column.name]))
            else:
                array, parts = variable_array(column, columns)
                arrays.append(array)
                blobs += parts.values()
        seeds = record_seeds([records[column.name] for column in self._schema.fixed], rows).tolist()
        records["checksum"] = [record_checksum(seed, [blob[row] for blob in blobs]) for row, seed in enumerate(seeds)]
        self._stream.write_batch(pa.record_batch(arrays, schema=self._arrow))
        self._records.append(records)

    def finish(self) -> ShardEntry:
        """Close, flush to the disk, rename; the offsets come from the finished file itself."""
        self._stream.close()
        self._file.sync_and_close()
        records = np.concatenate(self._records)
        _fill_offsets(self._temporary, self._schema, records)
        os.replace(self._temporary, self._path)
        return ShardEntry(self._file.size, self._file.digest, records)

    def abandon(self) -> None:
        """Drop what was written."""
        self._file.close()
        with contextlib.suppress(FileNotFoundError):
            self._temporary.unlink()


class _HashingFile:
    """The part of a binary file that Arrow writes to; counts and hashes what passes."""

    def __init__(self, file: BufferedWriter) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0
        self.closed = False

    @property
    def digest(self) -> bytes:
        return self._hash.digest()

    def write(self, content: Any) -> int:
        self._hash.update(content)
        written = self._file.write(content)
        self.size += written
        return written

    def flush(self) -> None:
        self._file.flush()

    def sync_and_close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self.close()

    def close(self) -> None:
        self.closed = True
        self._file.close()


def _fill_offsets(path: Path, schema: Schema, records: Structured) -> None:
    """Set where each value lies in the file, from the addresses of Arrow's own buffers over a memory map of it."""
    row = 0
    for batch, base in _mapped_batches(path):
        part = records[row : row + batch.num_rows]
        for column in schema.variable:
            for name, (starts, ends) in value_bounds(batch.column(column.name), column, base).items():
                part[f"{name}.offset"] = starts
                part[f"{name}.length"] = ends - starts
        row += batch.num_rows


def _mapped_batches(path: Path) -> Iterator[tuple[pa.RecordBatch, int]]:
    """The record batches of a shard over a memory map, each with the address of the file's first byte."""
    with path.open("rb") as file:
        content = pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    reader = pa.ipc.open_file(content)
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number), content.address
