"""Puts finished shards together to a dataset: the side table, then index.json, so that half a dataset is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestrator.base.files import sync_folder, write_json
from orchestrator.data.arrays import Structured
from orchestrator.data.header import FORMAT, Description, Header, SplitPart, TablePart, content_version
from orchestrator.data.schema import Schema
from orchestrator.data.table import SHARD_TYPE, TABLE_FILE, write_table
from orchestrator.spec.placement import INDEX_FILE


@dataclass(frozen=True)
class ShardFacts:
    """What the index holds of one shard."""

    rows: int
    size: int
    sha256: bytes


def assemble(
    root: Path,
    schema: Schema,
    description: Description,
    shards: Mapping[str, Sequence[ShardFacts]],
    records: Iterable[Structured],
) -> Header:
    """Write table and index of a dataset whose shards lie in `root`.

    Args:
        root: the folder.
        schema: the columns.
        description: what it says of itself.
        shards: the shards of each split, both in order.
        records: the table records of each shard, in the same order; read one after the other.

    Returns:
        The header, which is index.json.
    """
    splits: dict[str, SplitPart] = {}
    row = shard = 0
    for name, parts in shards.items():
        rows, size = sum(part.rows for part in parts), sum(part.size for part in parts)
        splits[name] = SplitPart(first_row=row, rows=rows, first_shard=shard, shards=len(parts), bytes=size)
        row, shard = row + rows, shard + len(parts)
    listed = _shard_table([part for parts in shards.values() for part in parts])
    size, digest = write_table(root / TABLE_FILE, schema, listed, records)
    header = Header(
        format=FORMAT,
        version=content_version(description, schema.pairs, splits, listed),
        description=description,
        columns=schema.pairs,
        splits=splits,
        table=TablePart(bytes=size, sha256=digest),
    )
    sync_folder(root)
    write_json(root / INDEX_FILE, header.document())
    return header


def _shard_table(parts: Sequence[ShardFacts]) -> Structured:
    shards = np.zeros(len(parts), dtype=SHARD_TYPE)
    shards["rows"] = [part.rows for part in parts]
    shards["first_row"] = np.cumsum(shards["rows"]) - shards["rows"]
    shards["bytes"] = [part.size for part in parts]
    for number, part in enumerate(parts):
        shards["sha256"][number] = np.frombuffer(part.sha256, dtype=np.uint8)
    return shards
