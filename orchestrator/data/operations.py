"""What a person may ask of a built dataset: describe it, show its first rows. See also `stats`, `sheet`, `verify`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from orchestrator.data.describe import describe, names_of
from orchestrator.data.index import DatasetIndex
from orchestrator.data.reader import ShardedDataset


@dataclass(frozen=True)
class SplitInfo:
    """Size of one split."""

    name: str
    rows: int
    shards: int
    bytes: int


@dataclass(frozen=True)
class DatasetInfo:
    """What the index says of a dataset; `mean` and `std` are empty where nobody has said them."""

    location: Path | str
    name: str
    version: str
    format: int
    columns: tuple[tuple[str, str], ...]
    splits: tuple[SplitInfo, ...]
    classes: tuple[str, ...]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    attributes: dict[str, JsonValue]
    card: str


@dataclass(frozen=True)
class HeadRow:
    """One row, described: each column's value in words."""

    split: str
    row: int
    cells: dict[str, str]


def info(location: Path | str) -> DatasetInfo:
    """Describe a dataset, in a folder or at a URL, from its index alone."""
    index = DatasetIndex.open(location)
    about = index.header.description
    parts = [index.split(name) for name in index.splits]
    return DatasetInfo(
        location=location,
        name=about.name,
        version=index.version,
        format=index.header.format,
        columns=index.header.columns,
        splits=tuple(SplitInfo(part.name, part.rows, part.shards, part.bytes) for part in parts),
        classes=about.classes,
        channels=about.channels,
        mean=about.mean,
        std=about.std,
        attributes=about.attributes,
        card=about.card,
    )


def head(location: Path | str, count: int, split: str | None = None) -> tuple[HeadRow, ...]:
    """The first `count` rows of a split (default: the first split), each read and verified."""
    dataset = first_split(location, split)
    columns = [(column, names_of(dataset.index, column)) for column in dataset.schema.columns]
    described = []
    for row in range(min(count, len(dataset))):
        record = dataset.read(row)
        cells = {column.name: describe(column, record[column.name], names) for column, names in columns}
        described.append(HeadRow(dataset.split.name, row, cells))
    return tuple(described)


def first_split(location: Path | str, split: str | None) -> ShardedDataset:
    """A split of a dataset; the first one where none is named."""
    return ShardedDataset(location, DatasetIndex.open(location).splits[0] if split is None else split)
