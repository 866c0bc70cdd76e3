"""WebDataset tars: a sample is consecutive members of one key, a field is a member's extension.

Splits are globs or `{000000..000999}` (or names for `layout.tables`). A column's `field` is an extension, or several
to choose from (`jpg;png`); in JSON members `json.tags` is the key `tags`, `json.a.b` one below `a`. Without `field`
images, videos, labels and texts take the usual extensions. Tars are scanned by their headers alone, and a record is
read by one seek for each of its members; compressed tars allow neither and are refused.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.base.errors import DataError
from orchestrator.data.arrays import Int64s
from orchestrator.data.converters.listing import Listing, OnDemand
from orchestrator.data.converters.members import Member, is_compressed, members
from orchestrator.data.converters.places import source_folder, split_names, tables_of
from orchestrator.data.converters.values import MEDIA, UNKNOWN, MediaFolder, Wanted, value_of, wanted_columns
from orchestrator.data.source import BadSample, Record, Sample, Source
from orchestrator.spec.card import DatasetCard

_EVERY = "**/*.tar"
_JSON = "json"
_USUAL: Mapping[str, tuple[str, ...]] = {
    "image": ("jpg", "jpeg", "png", "webp", "ppm", "bmp", "gif", "tif", "tiff"),
    "video": ("mp4", "webm", "mkv", "avi", "mov"),
    "mask": ("seg.png", "mask.png"),
    "label": ("cls", "class", "index"),
    "text": ("txt", "text", "caption"),
}
_NO_FILES = MediaFolder("")


@dataclass(frozen=True)
class _Field:
    """Where a column's value is in a sample: which extensions, and the keys inside a JSON member."""

    wanted: Wanted
    extensions: tuple[str, ...]
    keys: tuple[str, ...] = ()

    @classmethod
    def of(cls, wanted: Wanted, given: str | None) -> _Field:
        """The place of a column whose card says `given`."""
        first, _, rest = (given or "").partition(".")
        if given and first == _JSON and rest:
            return cls(wanted, (_JSON,), tuple(rest.split(".")))
        if given:
            return cls(wanted, tuple(part.strip().lower() for part in given.split(";")))
        if wanted.kind in _USUAL:
            return cls(wanted, _USUAL[wanted.kind])
        return cls(wanted, (_JSON,), (wanted.name,))


@dataclass(frozen=True)
class _Tars:
    """Where the members of all samples lie: (n,) tar, (n, fields) offset and size in bytes; size -1: there is none."""

    fields: tuple[_Field, ...]
    tars: tuple[tuple[str, str, str], ...]
    tar: Int64s
    offsets: Int64s
    sizes: Int64s
    keys: bytes
    key_ends: Int64s

    def sample(self, place: int) -> Sample:
        """The sample at a place."""
        path, title, split = self.tars[int(self.tar[place])]
        start = int(self.key_ends[place - 1]) if place else 0
        key = self.keys[start : int(self.key_ends[place])].decode("utf-8", "replace")
        sizes = self.sizes[place]
        spans = tuple(zip(self.offsets[place].tolist(), sizes.tolist(), strict=True))
        size = int(sizes[sizes > 0].sum())
        return Sample(f"{title}: {key}", split, UNKNOWN, size, partial(_read, path, self.fields, spans))


class _Gathering:
    """Collects samples into arrays while tars are scanned."""

    def __init__(self, fields: tuple[_Field, ...], listing: Listing) -> None:
        self._fields = fields
        self._listing = listing
        self._tars: list[tuple[str, str, str]] = []
        self._tar = array("q")
        self._spans = array("q")
        self._keys = bytearray()
        self._ends = array("q")

    def add_tar(self, path: Path, title: str, split: str) -> None:
        """Scan one tar."""
        self._tars.append((str(path), title, split))
        seen: set[str] = set()
        for key, found in _samples(path, title, self._listing):
            if key in seen:
                self._listing.add(f"{title}: {key}", "its key was there before, in other members")
                continue
            seen.add(key)
            chosen = [_choose(found, field) for field in self._fields]
            lacking = next(
                (one for one, member in zip(self._fields, chosen, strict=True) if member is None and _needed(one)), None
            )
            if lacking is not None:
                self._listing.add(f"{title}: {key}", f"has no .{', .'.join(lacking.extensions)}")
                continue
            self._listing.passed()
            self._keys += key.encode("utf-8", "replace")
            self._ends.append(len(self._keys))
            self._tar.append(len(self._tars) - 1)
            for member in chosen:
                self._spans.extend((member.offset, member.size) if member else (0, -1))

    def tars(self) -> _Tars:
        """What was found."""
        spans = np.array(self._spans, dtype=np.int64).reshape(len(self._tar), len(self._fields), 2)
        return _Tars(
            fields=self._fields,
            tars=tuple(self._tars),
            tar=np.array(self._tar, dtype=np.int64),
            offsets=np.ascontiguousarray(spans[:, :, 0]),
            sizes=np.ascontiguousarray(spans[:, :, 1]),
            keys=bytes(self._keys),
            key_ends=np.array(self._ends, dtype=np.int64),
        )


def scan(card: DatasetCard, source: Path | None, listing: Listing | None = None) -> Source:
    """List the samples of all tars; what lacks a column's member, and what a truncated tar lost, is listed as skipped.

    Raises:
        UsageError: no source was given.
        NotFound: the source or all tars of a split are absent.
        DataError: a tar is compressed, or no sample has what the card wants.
    """
    root, listing = source_folder(card, source), listing or Listing()
    wanted = wanted_columns(card, root, listing)
    fields = tuple(_Field.of(one, card.columns[one.name].field) for one in wanted)
    gathering = _Gathering(fields, listing)
    default = "{split}" if any(split_names(card)) else _EVERY
    for split, paths in tables_of(card, root, default, listing).items():
        for path in paths:
            if is_compressed(path):
                raise DataError(
                    f"{path} is compressed: its members cannot be read by their place", hint="unpack it to a .tar first"
                )
            gathering.add_tar(path, path.relative_to(root).as_posix(), split)
    tars = gathering.tars()
    if not len(tars.tar):
        first = "; ".join(f"{one.name}: {one.reason}" for one in listing.skipped[:1])
        raise DataError(f"no sample of the tars of {root} has what the card wants", hint=first)
    named = sorted(wanted, key=lambda one: one.kind != "label")
    classes = next((one.names.ordered for one in named if one.kind in ("label", "int64_list") and one.names), ())
    return listing.source(classes, OnDemand(len(tars.tar), tars.sample))


def _samples(path: Path, title: str, listing: Listing) -> Iterator[tuple[str, dict[str, Member]]]:
    """Each run of members of one key, by extension."""
    key, found = "", dict[str, Member]()
    for member in members(path, title, listing):
        folder, base = os.path.split(member.name)
        stem, _, extension = base.partition(".")
        if not stem or not extension:
            continue
        name = f"{folder}/{stem}" if folder else stem
        if name != key:
            if found:
                yield key, found
            key, found = name, {}
        if extension.lower() in found:
            listing.add(f"{title}: {member.name}", "the sample has a member of this extension already")
        else:
            found[extension.lower()] = member
    if found:
        yield key, found


def _choose(found: Mapping[str, Member], field: _Field) -> Member | None:
    return next((found[extension] for extension in field.extensions if extension in found), None)


def _needed(field: _Field) -> bool:
    return field.wanted.kind in (*MEDIA, "label", "int64")


def _read(path: str, fields: tuple[_Field, ...], spans: tuple[tuple[int, int], ...]) -> Record:
    values: dict[str, Any] = {}
    contents: dict[int, bytes] = {}
    with open(path, "rb") as file:
        for field, (offset, size) in zip(fields, spans, strict=True):
            if size >= 0 and offset not in contents:
                file.seek(offset)
                contents[offset] = file.read(size)
                if len(contents[offset]) != size:
                    raise BadSample("the tar has become shorter")
            raw = contents.get(offset) if size >= 0 else None
            values[field.wanted.name] = value_of(field.wanted, _decoded(field, raw), _NO_FILES)
    return values


def _decoded(field: _Field, content: bytes | None) -> Any:
    """A member's content as a table would hold it: media as bytes, JSON parsed and entered, all else as text."""
    if content is None or field.wanted.kind in MEDIA:
        return content
    try:
        if field.extensions != (_JSON,):
            return content.decode().strip()
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadSample(f"its .{field.extensions[0]} cannot be read: {error}") from error
    for key in field.keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
