"""Makes the values of a record from what tables hold: encoded media or its path, text, tags, class names, numbers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.base.errors import DataError, NotFound
from orchestrator.data.arrays import AnyArray, Int64s
from orchestrator.data.converters.listing import Listing
from orchestrator.data.converters.places import contained
from orchestrator.data.schema import LISTS
from orchestrator.data.source import BadSample
from orchestrator.spec.card import ColumnType, DatasetCard

MEDIA = ("image", "video", "mask", "bytes")
"""Kinds whose value is the content of a file."""

UNKNOWN = -1
"""The label of a sample whose class the source does not tell, as in test splits."""


@dataclass(frozen=True)
class Names:
    """Numbers of class names or tags: given here, or the lines of a file that each process reads once."""

    inline: Mapping[str, int] = field(default_factory=dict)
    path: str = ""

    @property
    def ordered(self) -> tuple[str, ...]:
        """All names, in the order of their numbers."""
        return tuple(self._numbers)

    def number(self, name: str) -> int | None:
        """The number of a name; None where it has none."""
        return self._numbers.get(name)

    def __len__(self) -> int:
        return len(self._numbers)

    def __bool__(self) -> bool:
        return bool(self.inline or self.path)

    @property
    def _numbers(self) -> Mapping[str, int]:
        return _names_of_file(self.path) if self.path else self.inline


@dataclass(frozen=True)
class Wanted:
    """One column of a card: its name and kind, what the source calls it, and how its values are read."""

    name: str
    kind: ColumnType
    field: str
    separator: str = ","
    names: Names = Names()


@dataclass(frozen=True)
class MediaFolder:
    """Where the files lie that tables name: paths count from `folder`, and may not lead out of `root`."""

    root: str
    folder: str = ""

    def path(self, relative: str) -> str:
        """The path of a named file; BadSample where it leads out of the source."""
        return contained(self.root, os.path.join(self.folder, relative) if relative[:1] != "/" else relative)


def wanted_columns(card: DatasetCard, root: Path, listing: Listing) -> tuple[Wanted, ...]:
    """What a card wants of its source; names come from the card, or from the file `layout.labels`.

    Raises:
        DataError: that file leads out of the source, is empty, or repeats a name.
        NotFound: that file is absent.
    """
    _names_of_file.cache_clear()  # of an earlier scan, whose file may have changed since
    listed = Names(path=_labels_file(card, root)) if card.layout.labels else Names()
    if listed:
        listing.uses(listed.path)
    if listed and not listed.ordered:
        raise DataError(f"{listed.path} is empty", hint="it lists the classes or tags, one a line")
    return tuple(
        Wanted(
            name=name,
            kind=column.type,
            field=column.field or name,
            separator=column.separator,
            names=Names(dict(zip(column.classes, range(len(column.classes)), strict=True)))
            if column.classes
            else listed,
        )
        for name, column in card.columns.items()
    )


def value_of(wanted: Wanted, raw: Any, media: MediaFolder) -> Any:
    """The value of a column from what a table holds: None, numbers, text, bytes, lists, or {bytes, path} of media.

    Raises:
        BadSample: there is none, or it is not what the column holds.
        OSError: the file that it names cannot be read.
    """
    if wanted.kind in MEDIA:
        return _media(wanted, raw, media)
    try:
        return _MAKERS[wanted.kind](wanted, raw)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadSample(f"{wanted.field!r} cannot be {wanted.kind}: {error}") from error


def tags_of(wanted: Wanted, raw: Any) -> list[Any]:
    """The tags of one row: a list as it is, or a string cut at the separator; empty tags do not count."""
    if raw is None:
        return []
    if isinstance(raw, str):
        return [tag for part in raw.split(wanted.separator) if (tag := part.strip())]
    if isinstance(raw, Sequence | np.ndarray) and not isinstance(raw, bytes):
        return [tag for tag in raw if tag is not None]
    raise BadSample(f"{wanted.field!r} holds {type(raw).__name__}, not a list of tags")


def _media(wanted: Wanted, raw: Any, media: MediaFolder) -> bytes:
    if isinstance(raw, Mapping):
        raw = raw.get("path") if raw.get("bytes") is None else raw["bytes"]
    if isinstance(raw, str):
        with open(media.path(raw), "rb") as file:
            return file.read()
    if isinstance(raw, bytes | bytearray | memoryview):
        return bytes(raw)
    raise BadSample(f"has no {wanted.kind}" if raw is None else f"{wanted.field!r} holds {type(raw).__name__}, no file")


def _label(wanted: Wanted, raw: Any) -> int:
    if raw is None:
        raise BadSample(f"has no {wanted.name}")
    if isinstance(raw, str) and wanted.names:
        number = wanted.names.number(raw)
        if number is not None:
            return number
        if not raw.isdecimal():
            raise BadSample(f"{raw!r} is no class of the card")
    number = _int64(wanted, raw)
    if wanted.names and not UNKNOWN <= number < len(wanted.names):
        raise BadSample(f"there is no class {number}: the last one is {len(wanted.names) - 1}")
    return number


def _int64(wanted: Wanted, raw: Any) -> int:
    if raw is None:
        raise BadSample(f"has no {wanted.name}")
    if isinstance(raw, float) and not raw.is_integer():
        raise ValueError(f"{raw} is no whole number")
    return int(raw)


def _float64(wanted: Wanted, raw: Any) -> float:
    return float("nan") if raw is None or raw == "" else float(raw)


def _text(wanted: Wanted, raw: Any) -> str:
    if raw is None:
        return ""
    return raw.decode() if isinstance(raw, bytes) else str(raw)


def _text_list(wanted: Wanted, raw: Any) -> list[str]:
    return [_text(wanted, tag) for tag in tags_of(wanted, raw)]


def _int64_list(wanted: Wanted, raw: Any) -> Int64s:
    tags = tags_of(wanted, raw)
    if wanted.names and any(isinstance(tag, str) for tag in tags):
        numbers = [number for tag in tags if (number := wanted.names.number(tag)) is not None]
        tags = list(dict.fromkeys(numbers))
    if wanted.names and not tags:
        raise BadSample(f"none of its {wanted.field} is in the vocabulary")
    return np.array(tags, dtype=np.int64)


def _float_list(wanted: Wanted, raw: Any) -> AnyArray:
    return np.array([] if raw is None else raw, dtype=LISTS[wanted.kind])


def _boxes(wanted: Wanted, raw: Any) -> AnyArray:
    return np.array([] if raw is None else raw, dtype=np.float64).reshape(-1, 4)


def _masks(wanted: Wanted, raw: Any) -> list[bytes]:
    return [bytes(mask) for mask in raw or ()]


_MAKERS: Mapping[str, Callable[[Wanted, Any], Any]] = {
    "label": _label,
    "int64": _int64,
    "float64": _float64,
    "text": _text,
    "text_list": _text_list,
    "int64_list": _int64_list,
    "float32_list": _float_list,
    "float64_list": _float_list,
    "boxes": _boxes,
    "masks": _masks,
}


def _labels_file(card: DatasetCard, root: Path) -> str:
    assert card.layout.labels is not None
    try:
        path = contained(str(root), card.layout.labels)
    except BadSample as error:
        raise DataError(f"layout.labels {card.layout.labels!r}: {error.message}") from error
    if not os.path.isfile(path):
        raise NotFound(f"no file {path}", hint="it lists the classes or tags, one a line (layout.labels of the card)")
    return path


@lru_cache(maxsize=4)
def _names_of_file(path: str) -> Mapping[str, int]:
    with open(path, encoding="utf-8-sig") as file:
        names = [name for line in file if (name := line.strip())]
    numbers = {name: number for number, name in enumerate(names)}
    if len(numbers) != len(names):
        repeated = next(name for number, name in enumerate(names) if numbers[name] != number)
        raise DataError(f"{path} lists {repeated!r} twice", hint="each class or tag has one number: its line")
    return numbers
