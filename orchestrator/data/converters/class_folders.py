"""Lists images by the folder of their class, in one pass of `scandir` and little memory: ImageNet has 1.3 million."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from orchestrator.base.errors import DataError, NotFound
from orchestrator.data.converters.listing import Listing, OnDemand
from orchestrator.data.converters.places import OUTSIDE, is_file, is_folder, is_inside
from orchestrator.data.source import Record, Sample
from orchestrator.spec.card import DatasetCard

SUFFIXES = (".jpg", ".jpeg", ".png")


class ImageFiles:
    """Gathers images of one class each, about 120 bytes for each, and makes samples of them.

    Args:
        root: the source's folder, which names count from.
        columns: the names of the image and the label column.
    """

    def __init__(self, root: Path, columns: tuple[str, str]) -> None:
        self._root = str(root)
        self._columns = columns
        self._names: list[str] = []
        self._folders: list[str] = []
        self._labels = array("q")
        self._sizes = array("q")

    def add(self, name: str, folder: str, label: int, size: int) -> None:
        """Add one file: its path from the root, its split's folder, its class, its bytes."""
        self._names.append(name)
        self._folders.append(folder)
        self._labels.append(label)
        self._sizes.append(size)

    def samples(self) -> OnDemand:
        """All of them, in the order in which they were added."""
        return OnDemand(len(self._names), self._sample)

    def _sample(self, place: int) -> Sample:
        name, label = self._names[place], self._labels[place]
        read = partial(_read, os.path.join(self._root, name), label, *self._columns)
        return Sample(name, self._folders[place], label, self._sizes[place], read)


def image_and_label(card: DatasetCard) -> tuple[str, str]:
    """The names of a card's image and label column; DataError where it has others."""
    by_type = {column.type: name for name, column in card.columns.items()}
    if len(card.columns) != 2 or by_type.keys() != {"image", "label"}:
        raise DataError(f"the converter {card.converter} makes one image and one label column", hint="mend the card")
    return by_type["image"], by_type["label"]


def split_folder(root: Path, folder: str) -> Path:
    """The folder of a split.

    Raises:
        NotFound: it is absent.
        DataError: it lies outside the source, by its name or by a link.
    """
    place = root / folder
    if not is_inside(root, place):
        raise DataError(f"{place} leads out of the source", hint="name the folder that holds the files with --source")
    if not place.is_dir():
        raise NotFound(f"no folder {place}", hint=f"expected {layout(folder)} in the source")
    return place


def folders_in(place: Path) -> tuple[str, ...]:
    """The names of the folders in a folder, in order; hidden ones are passed over."""
    return tuple(name for name, directory in _entries(place) if directory)


def list_classes(
    root: Path, folder: str, classes: Iterable[str], images: ImageFiles, listing: Listing, *, complete: bool = True
) -> None:
    """Add the images of `<root>/<folder>/<class>/`.

    Other files, unknown folders, and symbolic links that lead out of the source are listed; hidden ones passed over.

    Args:
        root: the source's folder.
        folder: of a split.
        classes: in the order of their numbers.
        images: takes the images.
        listing: takes what is left out.
        complete: whether the folder of each class must be there; else one that is absent is a warning.

    Raises:
        NotFound: the folder of a class is absent, or those of all.
    """
    place = split_folder(root, folder)
    known = dict.fromkeys(classes)
    for name, directory in _entries(place):
        if name not in known:
            reason = "a folder that is none of the classes" if directory else "lies in no folder of a class"
            listing.add(os.path.join(folder, name), reason)
    absent = [name for name in known if not (place / name).is_dir()]
    more = f" and {len(absent) - 1:,} more" if len(absent) > 1 else ""
    if absent and (complete or len(absent) == len(known)):
        raise NotFound(f"no folder for class {absent[0]!r}{more} in {place}", hint=f"expected {layout(folder)}")
    if absent:
        listing.warn(f"{folder} has no folder for class {absent[0]!r}{more}, and so no rows of {_them(absent)}")
    for label, name in enumerate(known):
        if not (place / name).is_dir():
            continue
        if not is_inside(root, place / name):
            listing.add(os.path.join(folder, name), OUTSIDE)
            continue
        for title, size in image_files(root, os.path.join(folder, name), listing):
            images.add(title, folder, label, size)


def image_files(root: Path, folder: str, listing: Listing) -> Iterator[tuple[str, int]]:
    """The images in one folder: the path from the root and the bytes of each, in order of names."""
    with os.scandir(root / folder) as entries:
        listed = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in listed:
        title = os.path.join(folder, entry.name)
        if entry.is_symlink() and not is_inside(root, entry.path):
            listing.add(title, OUTSIDE)
        elif not is_file(entry):
            listing.add(title, "not a file")
        elif not entry.name.lower().endswith(SUFFIXES):
            listing.add(title, f"its name does not end in {', '.join(SUFFIXES)}")
        else:
            found = entry.stat()
            listing.saw(found)
            yield title, found.st_size


def _them(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"


def layout(folder: str) -> str:
    """How class folders lie, in words for a hint."""
    return os.path.join(folder, "<class>", "*.jpg")


def _entries(place: Path) -> list[tuple[str, bool]]:
    """Names in a folder, and whether each is a folder; in order, without hidden ones."""
    with os.scandir(place) as entries:
        return sorted((entry.name, is_folder(entry)) for entry in entries if not entry.name.startswith("."))


def _read(path: str, label: int, image_column: str, label_column: str) -> Record:
    with open(path, "rb") as file:
        return {image_column: file.read(), label_column: label}
