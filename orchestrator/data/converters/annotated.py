"""What the COCO and LVIS converters share: the columns that a card wants, samples of images and what is on them."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from orchestrator.base.errors import DataError
from orchestrator.data.converters.coco_json import Categories, Picture
from orchestrator.data.converters.listing import Listing
from orchestrator.data.converters.places import contained
from orchestrator.data.decode import image_size
from orchestrator.data.source import BadSample, Record, Sample
from orchestrator.spec.card import ColumnType, DatasetCard

PICTURE: Mapping[str, tuple[ColumnType, ...]] = {
    "image": ("image",),
    "image_id": ("int64",),
    "file_name": ("text",),
    "height": ("int64",),
    "width": ("int64",),
}
"""What there is of every image, and the kinds of columns that hold it."""


class Part(Protocol):
    """What is annotated on one image; picklable."""

    @property
    def size(self) -> int:
        """Bytes of the record, about."""

    def values(self, picture: Picture, wanted: Collection[str]) -> dict[str, Any]:
        """Its fields; those that cost something only where they are wanted."""


Columns = tuple[tuple[str, str], ...]
"""(column, field) of each column of a card."""


def match_columns(card: DatasetCard, offered: Mapping[str, Sequence[ColumnType]], more: str = "") -> Columns:
    """What each column of a card holds: its `field`, or what has its name.

    Args:
        card: whose columns.
        offered: the fields that there are, and the kinds of columns that hold each.
        more: what else there could be, for the hint.

    Raises:
        DataError: there is no such field, the column is of a kind that does not hold it, or none holds the image.
    """
    hint = f"there are {', '.join(f'{field} ({kinds[0]})' for field, kinds in offered.items())}{more}"
    for name, column in card.columns.items():
        field = column.field or name
        if field not in offered:
            raise DataError(f"the column {name!r} of {card.name}: the converter has no {field!r}", hint=hint)
        if column.type not in offered[field]:
            raise DataError(
                f"the column {name!r} of {card.name} is of type {column.type}; {field} is {' or '.join(offered[field])}"
            )
    columns = tuple((name, column.field or name) for name, column in card.columns.items())
    if "image" not in {field for _, field in columns}:
        raise DataError(f"{card.name} has no column for the image", hint=hint)
    return columns


def check_classes(card: DatasetCard, field: str, categories: Categories) -> None:
    """Refuse a card that names other classes than the source has; DataError."""
    for name, column in card.columns.items():
        if (column.field or name) == field and column.classes and tuple(column.classes) != categories.names:
            raise DataError(
                f"the classes of the column {name!r} of {card.name} are not the categories of the source",
                hint="leave them out of the card: they come with the source, by rising id",
            )


def the_same(before: Categories | None, found: Categories, name: str) -> Categories:
    """The categories of the first split, where a later one numbers the same classes; DataError where it does not."""
    if before is not None and not before.same(found):
        raise DataError(
            f"{name} has other categories than the split before", hint="all splits of a dataset number the same classes"
        )
    return before or found


def of_split(pattern: str, split: str) -> str:
    """A pattern of the card's layout for one split."""
    return pattern.replace("{split}", split)


def annotated_samples(
    root: Path,
    folder: str,
    split: str,
    annotated: Iterable[tuple[Picture, tuple[Part, ...]]],
    columns: Columns,
    listing: Listing,
) -> list[Sample]:
    """A sample of each image whose file is there; the others are listed.

    Args:
        root: the source's folder.
        folder: of the images, from the root.
        split: as the card names it.
        annotated: images and what is on them.
        columns: as `match_columns` gives them.
        listing: takes the images, and those that are left out.
    """
    samples = []
    for picture, parts in annotated:
        name = os.path.join(folder, picture.name) if not os.path.isabs(picture.name) else picture.name
        try:
            path = contained(str(root), name)
            found = _stat_of(path)
        except BadSample as error:
            listing.add(name, error.message)
        else:
            listing.saw(found)
            read = partial(read_annotated, path, picture, columns, parts)
            samples.append(Sample(name, split, -1, found.st_size + sum(part.size for part in parts), read))
    return samples


def read_annotated(path: str, picture: Picture, columns: Columns, parts: tuple[Part, ...]) -> Record:
    """The record of one image.

    Raises:
        OSError: a file cannot be read.
        BadSample: the image has another size than its annotations say.
        UndecodableImage: it is no image.
    """
    with open(path, "rb") as file:
        encoded = file.read()
    if (size := image_size(encoded)) != (picture.height, picture.width):
        raise BadSample(f"it is {size[1]} x {size[0]}, its annotations are for {picture.width} x {picture.height}")
    values = {"image": encoded, "image_id": picture.id, "file_name": picture.name}
    values |= {"height": picture.height, "width": picture.width}
    wanted = {field for _, field in columns}
    for part in parts:
        values |= part.values(picture, wanted)
    return {column: values[field] for column, field in columns}


def _stat_of(path: str) -> os.stat_result:
    try:
        found = os.stat(path)
    except OSError as error:
        raise BadSample("no such file") from error
    if not stat.S_ISREG(found.st_mode):
        raise BadSample("not a file")
    return found
