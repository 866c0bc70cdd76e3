"""What a person may ask of a built dataset: describe it, show its first rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator.data.decode import UndecodableImage, image_size
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
