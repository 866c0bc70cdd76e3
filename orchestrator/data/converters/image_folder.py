"""Folders of images: `<source>/<split>/<class>/*.jpg`, or `<source>/<class>/*.jpg` where the card cuts the splits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from orchestrator.base.errors import DataError, NotFound, UsageError
from orchestrator.data.source import Record, Sample, Skipped, Source
from orchestrator.spec.card import DatasetCard, HoldOut

_SUFFIXES = (".jpg", ".jpeg", ".png")


def scan(card: DatasetCard, source: Path | None) -> Source:
    """List the images of a folder by the names of its folders; encoded bytes are kept as they are.

    Hidden files are passed over; other files, unknown folders, and symbolic links that lead out of the source are
    listed as skipped.

    Raises:
        UsageError: no source was given.
        NotFound: the source, a split's folder or a class's folder is absent.
    """
    if source is None:
        raise UsageError(f"{card.name} is built from a folder of images", hint="name it with --source FOLDER")
    columns = image_and_label(card)
    root = source.resolve()
    folders = [card.splits.train, card.splits.test] if isinstance(card.splits, HoldOut) else [""]
    classes = tuple(card.classes) or _class_folders(_folder(root, folders[0]))
    samples: list[Sample] = []
    skipped: list[Skipped] = []
    for folder in folders:
        for found in _scan_split(root, folder, classes, columns):
            if isinstance(found, Sample):
                samples.append(found)
            else:
                skipped.append(found)
    if not samples:
        raise DataError(f"{source} holds no images", hint=f"expected {_layout(folders[0])}")
    return Source(classes, tuple(samples), tuple(skipped))


def image_and_label(card: DatasetCard) -> tuple[str, str]:
    """The names of a card's image and label column; DataError where it has others."""
    by_type = {column.type: name for name, column in card.columns.items()}
    if len(card.columns) != 2 or by_type.keys() != {"image", "label"}:
        raise DataError(f"the converter {card.converter} makes one image and one label column", hint="mend the card")
    return by_type["image"], by_type["label"]


def _scan_split(
    root: Path, folder: str, classes: tuple[str, ...], columns: tuple[str, str]
) -> Iterator[Sample | Skipped]:
    place = _folder(root, folder)
    for name in _class_folders(place):
        if name not in classes:
            yield Skipped(os.path.join(folder, name), "a folder that is no class of the card")
    for label, name in enumerate(classes):
        class_folder = place / name
        if class_folder.is_symlink() and not class_folder.resolve().is_relative_to(root):
            yield Skipped(os.path.join(folder, name), "a symbolic link that leads out of the source")
            continue
        if not class_folder.is_dir():
            raise NotFound(f"no folder for class {name!r} in {place}", hint=f"expected {_layout(folder)}")
        yield from _scan_class(root, class_folder, os.path.join(folder, name), label, folder, columns)


def _scan_class(
    root: Path, place: Path, name: str, label: int, folder: str, columns: tuple[str, str]
) -> Iterator[Sample | Skipped]:
    with os.scandir(place) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        title = os.path.join(name, entry.name)
        if entry.name.startswith("."):
            continue
        if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root):
            yield Skipped(title, "a symbolic link that leads out of the source")
        elif not entry.is_file():
            yield Skipped(title, "not a file")
        elif not entry.name.lower().endswith(_SUFFIXES):
            yield Skipped(title, f"its name does not end in {', '.join(_SUFFIXES)}")
        else:
            yield Sample(title, folder, label, entry.stat().st_size, partial(_read, entry.path, label, *columns))


def _read(path: str, label: int, image_column: str, label_column: str) -> Record:
    with open(path, "rb") as file:
        return {image_column: file.read(), label_column: label}


def _folder(root: Path, folder: str) -> Path:
    place = root / folder
    if not place.is_dir():
        raise NotFound(f"no folder {place}", hint=f"expected {_layout(folder)} in the source")
    return place


def _class_folders(place: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in place.iterdir() if path.is_dir() and not path.name.startswith(".")))


def _layout(folder: str) -> str:
    return os.path.join(folder, "<class>", "*.jpg")
