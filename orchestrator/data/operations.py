"""What a person may ask of a built dataset: verify every byte, describe it, show its first rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestrator.base.errors import ShardCorrupt
from orchestrator.data.arrays import Int64s
from orchestrator.data.checksum import mismatches, record_seeds
from orchestrator.data.decode import UndecodableImage, image_size
from orchestrator.data.index import DatasetIndex
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.shardmaps import ShardMaps
from orchestrator.data.table import TABLE_FILE

_CHUNK = 1 << 22
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was written: which file, which rows of its split (none: all), and what."""

    file: str
    what: str
    rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class VerifyReport:
    """The outcome of a check of every shard's SHA-256 and every record's xxh3."""

    name: str
    version: str
    shards: int
    rows: int
    bytes: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether every byte is as it was written."""
        return not self.problems


@dataclass(frozen=True)
class SplitInfo:
    """Size of one split."""

    name: str
    rows: int
    shards: int
    bytes: int


@dataclass(frozen=True)
class DatasetInfo:
    """What the index says of a dataset."""

    root: Path
    name: str
    version: str
    format: int
    columns: tuple[tuple[str, str], ...]
    splits: tuple[SplitInfo, ...]
    classes: tuple[str, ...]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    card: str


@dataclass(frozen=True)
class HeadRow:
    """One row, described: labels by name, the size of the encoded image, and its height and width in pixels."""

    split: str
    row: int
    label: int
    class_name: str
    bytes: int
    height: int
    width: int


def verify(root: Path, progress: Callable[[int, int], None] | None = None) -> VerifyReport:
    """Read every byte of a dataset and compare it with the index.

    Args:
        root: the dataset.
        progress: called after each shard with (rows done, rows in all).

    Raises:
        NotFound, DataError: there is no index that can be opened.
    """
    index = DatasetIndex.open(root)
    maps = ShardMaps(index)
    problems: list[Problem] = []
    if _file_digest(root / TABLE_FILE) != index.header.table.sha256:
        problems.append(Problem(TABLE_FILE, "its SHA-256 is not the one in the index"))
    rows = index.table.shards["rows"]
    done = 0
    for shard, count in enumerate(rows.tolist()):
        problems.extend(_check_shard(index, maps, shard))
        done += count
        if progress is not None:
            progress(done, int(rows.sum()))
    size = int(index.table.shards["bytes"].sum())
    return VerifyReport(index.header.description.name, index.version, len(rows), done, size, tuple(problems))


def info(root: Path) -> DatasetInfo:
    """Describe a dataset from its index alone."""
    index = DatasetIndex.open(root)
    about = index.header.description
    parts = [index.split(name) for name in index.splits]
    return DatasetInfo(
        root=root,
        name=about.name,
        version=index.version,
        format=index.header.format,
        columns=index.header.columns,
        splits=tuple(SplitInfo(part.name, part.rows, part.shards, part.bytes) for part in parts),
        classes=about.classes,
        channels=about.channels,
        mean=about.mean,
        std=about.std,
        card=about.card,
    )


def head(root: Path, count: int, split: str | None = None) -> tuple[HeadRow, ...]:
    """The first `count` rows of a split (default: the first split), each read and verified."""
    index = DatasetIndex.open(root)
    dataset = ShardedDataset(root, index.splits[0] if split is None else split)
    image = next(column.name for column in index.schema.columns if column.kind == "image")
    label = next(column.name for column in index.schema.columns if column.kind == "label")
    classes = index.header.description.classes
    described = []
    for row in range(min(count, len(dataset))):
        record = dataset.read(row)
        number = record[label]
        name = classes[number] if 0 <= number < len(classes) else str(number)
        height, width = _size(record[image])
        described.append(HeadRow(dataset.split.name, row, number, name, len(record[image]), height, width))
    return tuple(described)


def _size(encoded: memoryview) -> tuple[int, int]:
    try:
        return image_size(encoded)
    except UndecodableImage:
        return 0, 0


def _file_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _check_shard(index: DatasetIndex, maps: ShardMaps, shard: int) -> list[Problem]:
    name = index.shard_name(shard)
    try:
        view = maps[shard]
    except ShardCorrupt as error:
        return [Problem(name, error.message)]
    problems = []
    if hashlib.sha256(view).digest() != index.table.shards["sha256"][shard].tobytes():
        problems.append(Problem(name, "its SHA-256 is not the one in the index"))
    bad = _bad_rows(index, view, shard)
    if bad.size:
        first = index.split(name.rpartition("-")[0]).first_row
        problems.append(Problem(name, "records with a wrong checksum", tuple((bad - first).tolist())))
    return problems


def _bad_rows(index: DatasetIndex, view: memoryview, shard: int) -> Int64s:
    """Rows, counted over the whole dataset, whose checksum differs."""
    start = int(index.first_rows[shard])
    stop = start + int(index.table.shards["rows"][shard])
    bad: list[int] = []
    for first in range(start, stop, _ROWS_AT_ONCE):
        records = index.table.records[first : min(first + _ROWS_AT_ONCE, stop)]
        seeds = record_seeds([records[column.name] for column in index.schema.fixed], len(records)).tolist()
        blobs = []
        for column in index.schema.variable:
            begin = records[f"{column.name}.offset"]
            end = begin + records[f"{column.name}.length"]
            blobs.append([view[one:other] for one, other in zip(begin.tolist(), end.tolist(), strict=True)])
        bad += [first + row for row in mismatches(seeds, blobs, records["checksum"].tolist())]
    return np.array(bad, dtype=np.int64)
