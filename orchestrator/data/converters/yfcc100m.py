"""YFCC100M: tab-separated rows about photos, and the photos on disk by their hash or identifier.

A row has 23 fields (Thomee et al., "YFCC100M: The New Data in Multimedia Research", CACM 59(2), 2016; the README of
`yfcc100m_dataset`), URL-encoded where they are text: `FIELDS` below, without `line` and `hash`. The file of the
Multimedia Commons bucket has 25: the number of the line comes first and the hash after the identifier. With 24 fields
one of these two is absent; which one is told by the second field.

Photos lie as in that bucket, `<images>/<hash[:3]>/<hash[3:6]>/<hash>.jpg`, or as `<images>/<identifier>.jpg`.
Defaults of the layout: `tables: yfcc100m_dataset*`, `images: data/images`.
"""

from __future__ import annotations

import os
import re
import stat
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import numpy as np

from orchestrator.base.errors import DataError
from orchestrator.data.arrays import Int64s
from orchestrator.data.converters.listing import Listing, OnDemand
from orchestrator.data.converters.members import is_compressed
from orchestrator.data.converters.places import OUTSIDE, contained, source_folder, tables_of
from orchestrator.data.converters.values import UNKNOWN, MediaFolder, Wanted, value_of, wanted_columns
from orchestrator.data.source import BadSample, Record, Sample, Source
from orchestrator.spec.card import DatasetCard

FIELDS = (
    "line",
    "id",
    "hash",
    "user_nsid",
    "user_nickname",
    "date_taken",
    "date_uploaded",
    "capture_device",
    "title",
    "description",
    "user_tags",
    "machine_tags",
    "longitude",
    "latitude",
    "accuracy",
    "page_url",
    "download_url",
    "license_name",
    "license_url",
    "server",
    "farm",
    "secret",
    "secret_original",
    "extension",
    "marker",
)
"""The fields of a row in order; `marker` is 0 for a photo and 1 for a video."""

_LINE, _ID, _HASHED, _MARKER = (FIELDS.index(name) for name in ("line", "id", "hash", "marker"))
_TABLES = "yfcc100m_dataset*"
_IMAGES = "data/images"
_TAGS = ("user_tags", "machine_tags")
_HASH = re.compile(r"[0-9a-f]{32}")
_PHOTO = "0"
_NO_FILES = MediaFolder("")


@dataclass(frozen=True)
class _Photos:
    """Compact tables of the photos on disk: (n,) file, byte offset of the row, identifier, bytes of the photo."""

    files: tuple[tuple[str, str], ...]
    root: str
    images: Mapping[str, str]
    wanted: tuple[Wanted, ...]
    file: Int64s
    offsets: Int64s
    identifiers: Int64s
    sizes: Int64s

    def sample(self, place: int) -> Sample:
        """The photo at a place."""
        path, split = self.files[int(self.file[place])]
        name = f"photo {self.identifiers[place]}"
        read = partial(_read, path, int(self.offsets[place]), self.wanted, self.root, self.images[split])
        return Sample(name, split, UNKNOWN, int(self.sizes[place]), read)


def scan(card: DatasetCard, source: Path | None, listing: Listing | None = None) -> Source:
    """List the photos that are on disk, in the order of their rows; memory is 32 bytes a photo.

    Videos, rows without a photo on disk and rows that are none are listed as skipped, or counted where they are many.

    Raises:
        UsageError: no source was given.
        NotFound: the source or its tables are absent.
        DataError: a table is compressed, the card wants fields that rows lack, or no photo is there.
    """
    root, listing = source_folder(card, source), listing or Listing()
    _is_inside.cache_clear()  # of an earlier scan, whose folders may have changed since
    wanted = _wanted(card, root, listing)
    columns = (array("q"), array("q"), array("q"), array("q"))
    files: list[tuple[str, str]] = []
    images: dict[str, str] = {}
    for split, paths in tables_of(card, root, _TABLES, listing).items():
        images[split] = (card.layout.images or _IMAGES).replace("{split}", split)
        for path in paths:
            if is_compressed(path):
                raise DataError(
                    f"{path} is compressed: its rows cannot be read by their place",
                    hint=f"unpack it first: bunzip2 --keep {path.name}",
                )
            files.append((str(path), split))
            for found in _photos(path, path.relative_to(root).as_posix(), str(root), images[split], listing):
                for column, value in zip(columns, (len(files) - 1, *found), strict=True):
                    column.append(value)
    if not len(columns[0]):
        first = "; ".join(f"{one.name}: {one.reason}" for one in listing.skipped[:1])
        raise DataError(f"no photo of the rows is in {root / (card.layout.images or _IMAGES)}", hint=first)
    arrays = [np.frombuffer(column, dtype=np.int64) for column in columns]
    photos = _Photos(tuple(files), str(root), images, wanted, *arrays)
    classes = next((one.names.ordered for one in wanted if one.kind == "int64_list"), ())
    return listing.source(classes, OnDemand(len(arrays[0]), photos.sample))


def _wanted(card: DatasetCard, root: Path, listing: Listing) -> tuple[Wanted, ...]:
    wanted = wanted_columns(card, root, listing)
    if [one.kind for one in wanted].count("image") != 1:
        raise DataError(f"the converter {card.converter} makes one image column", hint="mend the card")
    lacking = [one.field for one in wanted if one.kind != "image" and one.field not in FIELDS]
    if lacking:
        raise DataError(f"rows have no field {lacking[0]!r}", hint=f"columns' `field` is one of {', '.join(FIELDS)}")
    return wanted


def _photos(path: Path, title: str, root: str, images: str, listing: Listing) -> Iterator[tuple[int, int, int]]:
    """(offset of the row, identifier, bytes of the photo) of every photo on disk."""
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            start, offset = offset, offset + len(line)
            try:
                row = _row(line)
                if row[_MARKER] != _PHOTO:
                    listing.add(f"{title}:{number} {row[_ID]}", "a video")
                    continue
                _, photo = _photo(row, root, images)
                listing.saw(photo)
                yield start, int(row[_ID]), photo.st_size
            except BadSample as error:
                listing.add(f"{title}:{number}", error.message)


def _row(line: bytes) -> list[str]:
    """A row's cells in the order of FIELDS, still encoded; empty where a release lacks them.

    Raises:
        BadSample: it is no row, or its identifier or hash are none.
    """
    cells = line.decode("utf-8", "replace").rstrip("\r\n").split("\t")
    if len(cells) == 23 or (len(cells) == 24 and _HASH.fullmatch(cells[1])):
        cells.insert(_LINE, "")
    if len(cells) == 24:
        cells.insert(_HASHED, "")
    if len(cells) != len(FIELDS):
        raise BadSample(f"a row of {len(cells)} fields; there should be 23 to 25")
    if not (cells[_ID].isascii() and cells[_ID].isdecimal() and len(cells[_ID]) < 19):
        raise BadSample("its identifier is no number")
    if cells[_HASHED] and not _HASH.fullmatch(cells[_HASHED]):
        raise BadSample("its hash is none")
    return cells


def _photo(row: Sequence[str], root: str, images: str) -> tuple[str, os.stat_result]:
    """The path of a row's photo and its state; BadSample where it is not on disk or leads out of the source."""
    name = row[_HASHED]
    places = [(f"{images}/{name[:3]}/{name[3:6]}", f"{name}.jpg")] if name else []
    for folder, file in (*places, (images, f"{row[_ID]}.jpg")):
        path = f"{root}/{folder}/{file}"
        try:
            found = os.lstat(path)
        except OSError:
            continue
        if stat.S_ISLNK(found.st_mode):
            return contained(root, f"{folder}/{file}"), os.stat(path)
        if stat.S_ISREG(found.st_mode):
            if not _is_inside(root, folder):
                raise BadSample(OUTSIDE)
            return path, found
    raise BadSample("its photo is not on disk")


@lru_cache(maxsize=1 << 16)
def _is_inside(root: str, folder: str) -> bool:
    """Whether a folder lies in the source when links are followed."""
    try:
        contained(root, folder)
    except BadSample:
        return False
    return True


def _read(path: str, offset: int, wanted: tuple[Wanted, ...], root: str, images: str) -> Record:
    with open(path, "rb") as table:
        table.seek(offset)
        row = _row(table.readline())
    values: dict[str, Any] = {}
    for one in wanted:
        if one.kind == "image":
            with open(_photo(row, root, images)[0], "rb") as photo:
                values[one.name] = photo.read()
        else:
            values[one.name] = value_of(one, _decoded(one.field, row[FIELDS.index(one.field)]), _NO_FILES)
    return values


def _decoded(field: str, cell: str) -> Any:
    """A cell as text, URL decoding undone; tags one by one, because a tag may hold an encoded comma."""
    if field in _TAGS:
        return [unquote_plus(tag) for tag in cell.split(",") if tag]
    return unquote_plus(cell)
