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

from orchestrator.data.arrays import AnyArray, Structured
from orchestrator.data.checksum import record_checksum, record_seeds
from orchestrator.data.schema import LISTS, Column, Schema
from orchestrator.data.table import record_type


def arrow_schema(schema: Schema) -> pa.Schema:
    """The columns as Arrow types; variable ones have 64-bit offsets, nothing is nullable."""
    return pa.schema([pa.field(column.name, _arrow_type(column), nullable=False) for column in schema.columns])


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
        """Write one record batch: bytes for each value of a variable column, numbers for the others."""
        arrays = []
        records = np.zeros(rows, dtype=record_type(self._schema))
        for column in self._schema.columns:
            values = columns[column.name]
            if column.fixed:
                records[column.name] = values
                arrays.append(pa.array(records[column.name].copy()))
            else:
                arrays.append(_variable_array(column, values))
        seeds = record_seeds([records[column.name] for column in self._schema.fixed], rows).tolist()
        blobs = [columns[column.name] for column in self._schema.variable]
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


def _arrow_type(column: Column) -> pa.DataType:
    if column.fixed:
        return pa.float64() if column.kind == "float64" else pa.int64()
    if column.kind in LISTS:
        item = pa.float32() if column.kind == "float32_list" else pa.int64()
        return pa.large_list(pa.field("item", item, nullable=False))
    return pa.large_string() if column.kind == "text" else pa.large_binary()


def _variable_array(column: Column, values: Sequence[bytes]) -> pa.Array:
    """An Arrow array over the joined bytes of `values`, whatever the kind: they differ only in what an item is."""
    width = _item_width(column)
    offsets = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum([len(value) // width for value in values], out=offsets[1:])
    joined = pa.py_buffer(b"".join(values))
    if column.kind not in LISTS:
        return pa.Array.from_buffers(_arrow_type(column), len(values), [None, pa.py_buffer(offsets), joined])
    items = pa.Array.from_buffers(_arrow_type(column).value_type, int(offsets[-1]), [None, joined])
    return pa.Array.from_buffers(_arrow_type(column), len(values), [None, pa.py_buffer(offsets)], children=[items])


def _item_width(column: Column) -> int:
    return np.dtype(LISTS[column.kind]).itemsize if column.kind in LISTS else 1


def _fill_offsets(path: Path, schema: Schema, records: Structured) -> None:
    """Set where each value lies in the file, from the addresses of Arrow's own buffers over a memory map of it."""
    row = 0
    for batch, base in _mapped_batches(path):
        part = records[row : row + batch.num_rows]
        for column in schema.variable:
            starts, ends = _value_bounds(batch.column(column.name), column, base)
            part[f"{column.name}.offset"] = starts
            part[f"{column.name}.length"] = ends - starts
        row += batch.num_rows


def _mapped_batches(path: Path) -> Iterator[tuple[pa.RecordBatch, int]]:
    """The record batches of a shard over a memory map, each with the address of the file's first byte."""
    with path.open("rb") as file:
        content = pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    reader = pa.ipc.open_file(content)
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number), content.address


def _value_bounds(array: pa.Array, column: Column, base: int) -> tuple[AnyArray, AnyArray]:
    """Start and end (n,) of each value, in bytes from the address `base`."""
    buffers = array.buffers()
    offsets = np.frombuffer(buffers[1], dtype=np.int64, count=len(array) + 1, offset=8 * array.offset)
    data = buffers[-1]
    first = data.address - base if data is not None and data.size else 0
    places = first + offsets * _item_width(column)
    return places[:-1], places[1:]
