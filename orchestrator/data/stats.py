"""Measures a split of a dataset: bytes, classes, image sizes, tags, and the mean and deviation of its pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.base.errors import DataError
from orchestrator.data.arrays import Int64s
from orchestrator.data.decode import decode, image_size
from orchestrator.data.describe import names_of
from orchestrator.data.keyed import derive_key
from orchestrator.data.operations import first_split
from orchestrator.data.permutation import KeyedPermutation
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.schema import Column
from orchestrator.data.statistics import (
    ClassBalance,
    PixelMoments,
    Spread,
    TagCounts,
    class_balance,
    spread,
    tag_counts,
)

Progress = Callable[[int, int], None]
"""Called with (rows read, rows to read)."""

SAMPLE = 2000
"""Rows that are read, unless somebody says another number; bytes and labels are of all rows."""

_SHOWN = 10
_SIZES_AT_ONCE = 1 << 20
_MOST_SIZES = 1 << 24


@dataclass(frozen=True)
class ImageStats:
    """Images of a sample: pixels of height and width, width / height, and mean and std of pixels in 0..1."""

    height: Spread | None
    width: Spread | None
    aspect: Spread | None
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class SplitStats:
    """What a split is like.

    `rows`, `bytes`, `record_bytes` and `labels` are of all rows; `images`, `tags` and `lengths` (items of a list of
    numbers, boxes or masks; characters of a text) of `sampled` rows.
    """

    name: str
    split: str
    version: str
    rows: int
    bytes: int
    shards: int
    record_bytes: Spread | None
    labels: dict[str, ClassBalance]
    numbers: dict[str, Spread]
    sampled: int
    images: dict[str, ImageStats]
    tags: dict[str, TagCounts]
    lengths: dict[str, Spread]


def stats(
    location: Path | str, split: str | None = None, *, sample: int = SAMPLE, progress: Progress | None = None
) -> SplitStats:
    """Measure a split.

    Args:
        location: a folder or a URL.
        split: default: the first one.
        sample: how many rows are read at most; always the same ones.
        progress: called now and then.

    Raises:
        NotFound: there is no such dataset or split.
        ShardCorrupt: a row that is read is damaged.
    """
    dataset = first_split(location, split)
    columns = dataset.schema.columns
    fixed = {column.name: dataset.fixed_column(column.name) for column in dataset.schema.fixed}
    labels = {
        column.name: class_balance(fixed[column.name], names_of(dataset.index, column), _SHOWN)
        for column in columns
        if column.kind == "label"
    }
    numbers = {c.name: spread(fixed[c.name]) for c in dataset.schema.fixed if c.kind != "label"}
    measured = _Sample(dataset)
    rows = sampled_rows(len(dataset), sample, dataset.split.name)
    for done, row in enumerate(rows.tolist(), 1):
        measured.add(dataset.read(row))
        if progress is not None and (done % 16 == 0 or done == len(rows)):
            progress(done, len(rows))
    return SplitStats(
        name=dataset.index.header.description.name,
        split=dataset.split.name,
        version=dataset.version,
        rows=len(dataset),
        bytes=dataset.split.bytes,
        shards=dataset.split.shards,
        record_bytes=spread(_record_bytes(dataset)),
        labels=labels,
        numbers={name: found for name, found in numbers.items() if found is not None},
        sampled=len(rows),
        images={name: one.result() for name, one in measured.images.items()},
        tags={name: tag_counts(lists, measured.names[name], _SHOWN) for name, lists in measured.lists.items()},
        lengths={name: found for name, one in measured.lengths.items() if (found := spread(np.array(one))) is not None},
    )


def sampled_rows(rows: int, most: int, split: str) -> Int64s:
    """At most `most` of the rows of a split, drawn by a key, rising: always the same ones."""
    permutation = KeyedPermutation(rows, derive_key("statistics", split))
    return np.sort(permutation.apply(np.arange(min(rows, most), dtype=np.int64)))


def _record_bytes(dataset: ShardedDataset) -> Int64s:
    """(n,) bytes of records, from the side table; of a huge split of evenly spaced rows."""
    first, rows = dataset.split.first_row, len(dataset)
    step = max(1, -(-rows // _MOST_SIZES))
    dataset.index.files.ensure_table()
    records = dataset.index.table.records[first : first + rows : step]
    sizes = np.full(len(records), 8 * len(dataset.schema.fixed), dtype=np.int64)
    for start in range(0, len(records), _SIZES_AT_ONCE):
        some = records[start : start + _SIZES_AT_ONCE]
        for column in dataset.schema.variable:
            sizes[start : start + len(some)] += some[f"{column.parts[-1]}.length"]
    return sizes


class _Sample:
    """Gathers what the sampled rows hold."""

    def __init__(self, dataset: ShardedDataset) -> None:
        channels = dataset.index.header.description.channels
        self._columns = dataset.schema.variable
        self.images = {c.name: _Images(channels) for c in self._columns if c.kind == "image"}
        self.lists: dict[str, list[Any]] = {c.name: [] for c in self._columns if c.kind in ("int64_list", "text_list")}
        self.names = {c.name: names_of(dataset.index, c) for c in self._columns if c.name in self.lists}
        self.lengths: dict[str, list[int]] = {c.name: [] for c in self._columns if _has_length(c)}

    def add(self, record: dict[str, Any]) -> None:
        for name, images in self.images.items():
            images.add(record[name])
        for name, lists in self.lists.items():
            value = record[name]
            lists.append(value.tolist() if isinstance(value, np.ndarray) else value)
        for name, lengths in self.lengths.items():
            lengths.append(len(record[name]))


class _Images:
    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._sizes: list[tuple[int, int]] = []
        self._moments = PixelMoments(channels)

    def add(self, encoded: memoryview) -> None:
        try:
            self._sizes.append(image_size(encoded))
            self._moments.add(decode(encoded, self._channels))
        except DataError:  # a writer with records in hand may store what is no image
            return

    def result(self) -> ImageStats:
        sizes = np.array(self._sizes, dtype=np.int64).reshape(-1, 2)
        height, width = sizes[:, 0], sizes[:, 1]
        return ImageStats(spread(height), spread(width), spread(width / height), self._moments.mean, self._moments.std)


def _has_length(column: Column) -> bool:
    return column.kind in ("text", "boxes", "masks", "float32_list", "float64_list")
