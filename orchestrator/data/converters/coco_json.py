"""Reads COCO's JSON: the document, its categories, its images; what is wrong with an entry leaves out that entry."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.base.errors import DataError, NotFound
from orchestrator.data.converters.listing import Listing
from orchestrator.data.converters.places import contained
from orchestrator.data.source import BadSample

_MOST_PIXELS = 1 << 28


class Picture(NamedTuple):
    """An image as the JSON has it; `name` is its file's, from the folder of the images."""

    id: int
    name: str
    height: int
    width: int


@dataclass(frozen=True)
class Categories:
    """The categories by rising id; a class's number is its place among them.

    Attributes:
        entries: `id`, `name`, and what else the converter keeps of each.
    """

    entries: tuple[Mapping[str, Any], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the order of the numbers."""
        return tuple(str(entry["name"]) for entry in self.entries)

    @property
    def numbers(self) -> dict[int, int]:
        """The number of each id."""
        return {int(entry["id"]): number for number, entry in enumerate(self.entries)}

    def same(self, other: Categories) -> bool:
        """Whether both number the same classes."""
        return self.names == other.names and self.numbers == other.numbers


def read_document(root: Path, name: str, listing: Listing) -> dict[str, Any]:
    """A JSON file of a source, with its images, annotations and categories.

    Raises:
        NotFound: it is absent.
        DataError: it leads out of the source, or is no such JSON.
    """
    try:
        path = Path(contained(str(root), name))
    except BadSample as error:
        raise DataError(f"{name!r}: {error.message}", hint="name files inside the source's folder") from error
    if not path.is_file():
        hint = "see how the card says the source is laid out; a split that it lacks is taken out of the card's `splits`"
        raise NotFound(f"no file {path}", hint=hint)
    listing.uses(path)
    try:
        with path.open("rb") as file:
            document = json.load(file)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON: {error}", hint="unpack the annotations again") from error
    lists = ("images", "annotations", "categories")
    if not isinstance(document, dict) or not all(isinstance(document.get(key), list) for key in lists):
        raise DataError(f"{path} does not hold the lists {', '.join(lists)}", hint="it should be COCO's JSON")
    return {key: document[key] for key in lists}


def read_categories(document: Mapping[str, Any], name: str, kept: Sequence[str]) -> Categories:
    """The categories of a document.

    Args:
        document: as `read_document` gives it.
        name: the file's, for messages.
        kept: keys that are kept beside `id` and `name`, where a category has them.

    Raises:
        DataError: one has no id or name, or two have the same id.
    """
    entries: dict[int, dict[str, Any]] = {}
    for place, category in enumerate(document["categories"]):
        try:
            number = whole(entry_of(category).get("id"), "id")
            text = text_of(category.get("name"), "name")
        except BadSample as error:
            raise DataError(f"category {place} of {name}: {error.message}") from error
        if number in entries:
            raise DataError(f"{name} has two categories with the id {number}")
        entries[number] = {"id": number, "name": text} | {key: category[key] for key in kept if key in category}
    return Categories(tuple(entries[number] for number in sorted(entries)))


def read_pictures(
    document: Mapping[str, Any], name: str, file_of: Callable[[Mapping[str, Any]], Any], listing: Listing
) -> dict[int, Picture]:
    """The images of a document by id, by rising id; those without an id, name or size are listed.

    Args:
        document: as `read_document` gives it.
        name: the file's, for messages.
        file_of: the file name of an entry.
        listing: takes what is left out.
    """
    pictures: dict[int, Picture] = {}
    for place, entry in enumerate(document["images"]):
        try:
            number = whole(entry_of(entry).get("id"), "id")
            height, width = whole(entry.get("height"), "height"), whole(entry.get("width"), "width")
            picture = Picture(number, text_of(file_of(entry), "file name"), height, width)
            if number in pictures:
                raise BadSample("another image has its id")
            if min(height, width) < 1 or height * width > _MOST_PIXELS:
                raise BadSample("its height and width are those of no image")
        except BadSample as error:
            listing.add(f"{name} images[{place}]", error.message)
        else:
            pictures[number] = picture
    return dict(sorted(pictures.items()))


def entry_of(value: Any) -> Mapping[str, Any]:
    """An object of the JSON; BadSample where it is none."""
    if not isinstance(value, Mapping):
        raise BadSample("it is no JSON object")
    return value


def whole(value: Any, what: str) -> int:
    """A whole number of 64 bits; BadSample where it is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -(1 << 63) <= value < 1 << 63:
        raise BadSample(f"its {what} is no whole number")
    return int(value)


def finite(value: Any, what: str) -> float:
    """A number; BadSample where it is none, infinite or NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadSample(f"its {what} is no number")
    return float(value)


def box_of(value: Any) -> tuple[float, ...]:
    """x, y, width and height; BadSample where they are no such four numbers."""
    if not isinstance(value, list) or len(value) != 4:
        raise BadSample("its box is not four numbers")
    return tuple(finite(number, "box") for number in value)


def text_of(value: Any, what: str) -> str:
    """A text that is not empty; BadSample where it is none."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise BadSample(f"its {what} is no text")
    return value
