"""The binary side table of a dataset: what must be found for a row without opening its shard, memory-mapped.

A file of two little-endian sections after a 64-byte preamble (magic, format, counts, item sizes):

    shards    first_row, rows, bytes, sha256 of each shard; `first_row` counts over all splits
    records   checksum, `<part>.offset` and `<part>.length` of each part of the variable columns, `<column>` of each
              8-byte one

One record's fields lie side by side, so that a row in random order costs one page of the table. Offsets count from the
start of the shard's file. The 8-byte columns are here as well as in the shard, so that all labels can be read at once.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from orchestrator.base.errors import DataError
from orchestrator.base.files import sync_folder
from orchestrator.data.arrays import Structured
from orchestrator.data.schema import FIXED, Schema

TABLE_FILE = "table.bin"

_PREAMBLE = struct.Struct("<16sIIQQII16x")
_MAGIC = b"orchestr-table\0\0"
_TABLE_FORMAT = 1

SHARD_TYPE = np.dtype([("first_row", "<i8"), ("rows", "<i8"), ("bytes", "<i8"), ("sha256", "u1", (32,))])


def head_bytes(shards: int) -> int:
    """Bytes of a table's preamble and shard table, after which its records lie."""
    return _PREAMBLE.size + shards * SHARD_TYPE.itemsize


def shard_table(head: bytes, shards: int) -> Structured:
    """The shard table (S,) from the first `head_bytes(shards)` bytes of a table."""
    return np.frombuffer(head, SHARD_TYPE, count=shards, offset=_PREAMBLE.size)


def record_type(schema: Schema) -> np.dtype[np.void]:
    """The numpy type of one record of the table; 8-byte fields first, so that all are aligned."""
    fields = [("checksum", "<u8")]
    fields += [(f"{part}.offset", "<i8") for part in schema.parts]
    fields += [(column.name, FIXED[column.kind]) for column in schema.fixed]
    fields += [(f"{part}.length", "<u4") for part in schema.parts]
    if len(schema.parts) % 2:
        fields.append(("padding", "<u4"))
    return np.dtype(fields)


@dataclass(frozen=True)
class Table:
    """A mapped side table: `shards` (S,) of SHARD_TYPE and `records` (R,) of record_type(schema)."""

    shards: Structured
    records: Structured

    @classmethod
    def open(cls, path: Path, schema: Schema, *, size: int) -> Table:
        """Map a table.

        Raises:
            DataError: it is absent, of another size than `size` bytes, or not of this schema.
        """
        record = record_type(schema)
        try:
            with path.open("rb") as file:
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise DataError(f"cannot map {path}: {error}", hint="build the dataset again") from error
        magic, version, _, shards, records, shard_size, record_size = _PREAMBLE.unpack_from(
            content[:64].ljust(64, b"\0")
        )
        expected = _PREAMBLE.size + shards * shard_size + records * record_size
        if magic != _MAGIC or len(content) != size or expected != size:
            raise DataError(f"{path} is damaged: {len(content)} bytes, {size} expected", hint="build the dataset again")
        if (version, shard_size, record_size) != (_TABLE_FORMAT, SHARD_TYPE.itemsize, record.itemsize):
            raise DataError(f"{path} does not fit the columns in index.json", hint="build the dataset again")
        first = _PREAMBLE.size + shards * shard_size
        return cls(
            np.frombuffer(content, SHARD_TYPE, count=shards, offset=_PREAMBLE.size),
            np.frombuffer(content, record, count=records, offset=first),
        )


def write_table(path: Path, schema: Schema, shards: Structured, records: Iterable[Structured]) -> tuple[int, str]:
    """Write a table whole, in a temporary file that is renamed.

    Args:
        path: where.
        schema: the columns.
        shards: (S,) of SHARD_TYPE.
        records: the records of each shard, of record_type(schema), in shard order.

    Returns:
        Its size in bytes and its SHA-256 in hex.
    """
    digest = hashlib.sha256()
    size = 0
    record = record_type(schema)
    preamble = _PREAMBLE.pack(
        _MAGIC, _TABLE_FORMAT, 0, len(shards), int(shards["rows"].sum()), SHARD_TYPE.itemsize, record.itemsize
    )
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        for part in chain((preamble, shards.tobytes()), (one.tobytes() for one in records)):
            file.write(part)
            digest.update(part)
            size += len(part)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)
    return size, digest.hexdigest()
