"""Makes the index of a dataset that is not there: header and shard table are real, its records are a hole."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from orchestrator.base.files import write_json
from orchestrator.data.header import FORMAT, Description, Header, SplitPart, TablePart, content_version
from orchestrator.data.schema import Schema
from orchestrator.data.table import SHARD_TYPE, TABLE_FILE, head_bytes, record_type, write_table
from orchestrator.spec.placement import INDEX_FILE

CLASSES = 1000
_CHECKED_SHARDS = 10_000
_PIECE = 1 << 20


def make_index(root: Path, samples: int, shards: int, *, labels: bool = False) -> None:
    """An index at `root`: one split `train`, its shards between half and one and a half times the mean.

    Shards that are checked at opening (of up to 10,000) exist, as holes of the right size.

    Args:
        root: a new folder.
        samples: rows of the split.
        shards: over how many shards.
        labels: write labels too, 0 to 999, the rarest a thousand times rarer than the commonest.
    """
    root.mkdir(parents=True)
    table = _shard_table(samples, shards)
    schema = Schema.of([("image", "image"), ("label", "label")])
    write_table(root / TABLE_FILE, schema, table, ())
    size = head_bytes(shards) + samples * record_type(schema).itemsize
    os.truncate(root / TABLE_FILE, size)
    if labels:
        _write_labels(root / TABLE_FILE, schema, samples, head_bytes(shards))
    digest = _digest(root / TABLE_FILE) if labels else "0" * 64  # of a hole nothing is verified
    splits = {
        "train": SplitPart(first_row=0, rows=samples, first_shard=0, shards=shards, bytes=int(table["bytes"].sum()))
    }
    about = Description(name="virtual")
    header = Header(
        format=FORMAT,
        version=content_version(about, schema.pairs, splits, table),
        description=about,
        columns=schema.pairs,
        splits=splits,
        table=TablePart(bytes=size, sha256=digest),
    )
    write_json(root / INDEX_FILE, header.document())
    if shards <= _CHECKED_SHARDS:
        for number, length in enumerate(table["bytes"].tolist()):
            with (root / f"train-{number:05d}.arrow").open("wb") as file:
                file.truncate(length)


def forget(root: Path) -> None:
    """Drop the index from the page cache."""
    for path in (root / INDEX_FILE, root / TABLE_FILE):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def shard_rows(samples: int, shards: int) -> np.ndarray:
    """(shards,) ragged numbers of rows that sum to `samples`."""
    generator = np.random.default_rng(shards)
    edges = np.arange(1, shards) * (samples / shards) + generator.uniform(-0.25, 0.25, shards - 1) * (samples / shards)
    return np.diff(np.concatenate([[0], edges.astype(np.int64), [samples]]))


def _shard_table(samples: int, shards: int) -> np.ndarray:
    table = np.zeros(shards, dtype=SHARD_TYPE)
    table["rows"] = shard_rows(samples, shards)
    table["first_row"] = np.cumsum(table["rows"]) - table["rows"]
    table["bytes"] = table["rows"] * 100 + 1000
    table["sha256"] = np.random.default_rng(0).integers(0, 256, (shards, 32), dtype=np.uint8)
    return table


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_labels(path: Path, schema: Schema, samples: int, start: int) -> None:
    weights = 1 / np.arange(1, CLASSES + 1)
    generator = np.random.default_rng(1)
    with path.open("r+b") as file:
        file.seek(start)
        for first in range(0, samples, _PIECE):
            records = np.zeros(min(_PIECE, samples - first), dtype=record_type(schema))
            records["label"] = generator.choice(CLASSES, len(records), p=weights / weights.sum())
            records.tofile(file)
