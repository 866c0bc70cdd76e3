"""Samples from the rows of Arrow tables, a chunk at a time: what Parquet's row groups and Arrow files share."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.base.errors import DataError
from orchestrator.data.arrays import Int64s
from orchestrator.data.converters.listing import Listing, OnDemand
from orchestrator.data.converters.tags import TagCheck
from orchestrator.data.converters.values import MEDIA, UNKNOWN, MediaFolder, Names, Wanted, value_of, wanted_columns
from orchestrator.data.source import BadSample, Record, Sample, Source
from orchestrator.spec.card import DatasetCard, Fractions, HoldOut

if TYPE_CHECKING:
    import pyarrow as pa

Load = Callable[[str, int, tuple[str, ...]], "pa.Table | str"]
"""A module's function: the columns of the chunk at a place of a file, or why it cannot be read."""

_MOST_READ = 1 << 36


@dataclass(frozen=True)
class Chunk:
    """Rows of a file that are read at once.

    Attributes:
        path: the file.
        title: its name in the source.
        split: what the source calls its split.
        place: which part of the file, as `Load` understands it.
        first: the number of its first row in the file.
        rows: how many it has.
        size: bytes of it, unpacked.
        apart: columns of {bytes, path} some of whose bytes lie in files.
    """

    path: str
    title: str
    split: str
    place: int
    first: int
    rows: int
    size: int
    apart: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Tables:
    """All chunks of a source and how they are read.

    Attributes:
        chunks: in the order of the source.
        load: reads columns of one.
        schema: the columns of all.
        names: those that the source itself gives to a column's numbers.
        mapped: one row can be read without the rest of its chunk.
    """

    chunks: tuple[Chunk, ...]
    load: Load
    schema: pa.Schema
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mapped: bool = False


@dataclass(frozen=True)
class _Rows:
    """Where the rows are that become samples: all of them, or only `kept`."""

    tables: Tables
    starts: tuple[int, ...]
    wanted: tuple[Wanted, ...]
    media: Mapping[str, MediaFolder]
    kept: Int64s | None
    strata: Int64s | None
    sizes: Int64s | None

    def sample(self, place: int) -> Sample:
        """The sample at a place among those that are kept."""
        row = place if self.kept is None else int(self.kept[place])
        number = bisect_right(self.starts, row) - 1
        chunk = self.tables.chunks[number]
        inside = row - self.starts[number]
        return Sample(
            name=f"{chunk.title} row {chunk.first + inside}",
            folder=chunk.split,
            stratum=UNKNOWN if self.strata is None else int(self.strata[row]),
            size=chunk.size // chunk.rows + (0 if self.sizes is None else int(self.sizes[row])),
            read=partial(
                _read, self.tables.load, chunk.path, chunk.place, inside, self.wanted, self.media[chunk.split]
            ),
        )


def same_columns(card: DatasetCard, one: pa.Schema, other: pa.Schema) -> bool:
    """Whether two files hold the columns that a card wants as values of the same types."""
    fields = [column.field or name for name, column in card.columns.items()]
    return all(
        one.get_field_index(name) < 0 or (name in other.names and one.field(name).type == other.field(name).type)
        for name in fields
    )


def source_of_tables(card: DatasetCard, root: Path, tables: Tables, listing: Listing) -> Source:
    """The samples of all rows. What must be known before a row is read is found in one pass over the columns it needs.

    That is the classes where nobody lists them, each row's class where the card cuts the splits, the sizes of files
    that a column names, and the tags that a vocabulary lacks: these are dropped and counted, and so are rows left
    without a tag.

    Raises:
        DataError: a column of the card is not in the tables, or the order of the rows would read them far too often.
    """
    wanted = _named(wanted_columns(card, root, listing), tables)
    _check_fields(wanted, tables)
    _check_order(card, tables)
    media = {
        chunk.split: MediaFolder(str(root), (card.layout.images or "").replace("{split}", chunk.split))
        for chunk in tables.chunks
    }
    labels = next((one for one in wanted if one.kind == "label"), None)
    if labels is not None and not labels.names:
        labels = replace(labels, names=_names_found(labels, tables, listing))
        wanted = tuple(labels if one.name == labels.name else one for one in wanted)
    starts = tuple(np.cumsum([0, *(chunk.rows for chunk in tables.chunks)]).tolist())
    keep = np.ones(starts[-1], dtype=bool)
    _keep_tagged(wanted, tables, keep, listing)
    cut = isinstance(card.splits, Fractions | HoldOut)
    rows = _Rows(
        tables=tables,
        starts=starts,
        wanted=wanted,
        media=media,
        sizes=_file_sizes(wanted, tables, media, keep, listing),
        strata=_strata(labels, tables, listing) if labels is not None and cut else None,
        kept=None if keep.all() else np.flatnonzero(keep),
    )
    count = int(keep.sum())
    if not count:
        raise DataError(f"no row of the {len(tables.chunks):,} parts of {root} can be used", hint=_first(listing))
    return listing.source(_classes(wanted), OnDemand(count, rows.sample), _attributes(wanted))


def _read(load: Load, path: str, place: int, row: int, wanted: tuple[Wanted, ...], media: MediaFolder) -> Record:
    table = load(path, place, tuple(sorted({one.field for one in wanted})))
    if isinstance(table, str):
        raise BadSample(table)
    return {one.name: value_of(one, table.column(one.field)[row].as_py(), media) for one in wanted}


def _named(wanted: tuple[Wanted, ...], tables: Tables) -> tuple[Wanted, ...]:
    """The columns with the names of the source where the card has none."""
    return tuple(
        replace(one, names=Names({name: number for number, name in enumerate(tables.names[one.field])}))
        if not one.names and one.field in tables.names
        else one
        for one in wanted
    )


def _check_fields(wanted: Sequence[Wanted], tables: Tables) -> None:
    there = tables.schema.names
    for one in wanted:
        if one.field not in there:
            raise DataError(
                f"the tables have no column {one.field!r} for {one.name!r}",
                hint=f"set `field` of the card's column to one of {', '.join(there)}",
            )


def _check_order(card: DatasetCard, tables: Tables) -> None:
    """Rows in keyed order read a whole chunk for each row: fine for small ones, and else to be refused."""
    read = sum(chunk.rows * chunk.size for chunk in tables.chunks)
    if card.row_order == "keyed" and not tables.mapped and len(tables.chunks) > 1 and read > _MOST_READ:
        size = sum(chunk.size for chunk in tables.chunks)
        raise DataError(
            f"rows in keyed order would read {read / 2**30:,.0f} GiB to build {size / 2**30:,.1f} GiB: each row its "
            "whole row group",
            hint="set `row_order: source` in the card; a full shuffle of the workload mixes the rows all the same",
        )


def _columns(
    tables: Tables, wanted: Wanted, listing: Listing, *, apart: bool = False
) -> Iterator[tuple[int, Chunk, pa.ChunkedArray]]:
    """One column of every chunk that can be read, with the number of the chunk's first row among all.

    Args:
        tables: all chunks.
        wanted: the column.
        listing: told how far it is.
        apart: only of the chunks that have bytes of it in files.
    """
    start = 0
    for chunk in tables.chunks:
        if not apart or wanted.field in chunk.apart:
            table = tables.load(chunk.path, chunk.place, (wanted.field,))
            if not isinstance(table, str):
                yield start, chunk, table.column(wanted.field)
        start += chunk.rows
        listing.passed(chunk.rows)


def _names_found(labels: Wanted, tables: Tables, listing: Listing) -> Names:
    """Class names as the tables have them, sorted; where they have numbers, 0 to the largest one."""
    found: set[Any] = set()
    for _, _, column in _columns(tables, labels, listing):
        found.update(column.unique().to_pylist())
    found.discard(None)
    if all(isinstance(value, int) for value in found):
        return Names({str(number): number for number in range(max(found, default=UNKNOWN) + 1)})
    return Names({name: number for number, name in enumerate(sorted(map(str, found)))})


def _strata(labels: Wanted, tables: Tables, listing: Listing) -> Int64s:
    """The class of every row, UNKNOWN where it has none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    strata = np.full(sum(chunk.rows for chunk in tables.chunks), UNKNOWN, dtype=np.int64)
    for start, chunk, column in _columns(tables, labels, listing):
        if not pa.types.is_integer(column.type):
            column = pc.index_in(column.cast(pa.string()), value_set=pa.array(labels.names.ordered, pa.string()))
        strata[start : start + chunk.rows] = pc.fill_null(column, UNKNOWN).to_numpy()
    return strata


def _keep_tagged(wanted: Sequence[Wanted], tables: Tables, keep: np.ndarray[Any, Any], listing: Listing) -> None:
    """Take out the rows that have no tag of the vocabulary, and say how many tags it lacks."""
    for one in wanted:
        if one.kind != "int64_list" or not one.names:
            continue
        check = TagCheck(one)
        for start, chunk, column in _columns(tables, one, listing):
            known = check.known(column)
            if known is not None:
                keep[start : start + chunk.rows] &= known
        check.tell(listing)


def _file_sizes(
    wanted: Sequence[Wanted],
    tables: Tables,
    media: Mapping[str, MediaFolder],
    keep: np.ndarray[Any, Any],
    listing: Listing,
) -> Int64s | None:
    """Bytes of the files that each row names; rows whose file is absent are listed and taken out."""
    import pyarrow as pa

    sizes = None
    for one in wanted:
        kind = tables.schema.field(one.field).type
        named = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if one.kind not in MEDIA or not (named or any(one.field in chunk.apart for chunk in tables.chunks)):
            continue
        sizes = np.zeros(len(keep), dtype=np.int64) if sizes is None else sizes
        for start, chunk, column in _columns(tables, one, listing, apart=not named):
            for row, path in _paths(column):
                try:
                    found = _stat_of(path, media[chunk.split])
                except BadSample as error:
                    keep[start + row] = False
                    named = f"{chunk.title} row {chunk.first + row}" + (f": {path}" if path else "")
                    listing.add(named, error.message)
                else:
                    listing.saw(found)
                    sizes[start + row] += found.st_size
    return sizes


def _paths(column: pa.ChunkedArray) -> Iterator[tuple[int, str | None]]:
    """The rows that name a file instead of holding its bytes, and its path."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_struct(column.type):
        yield from enumerate(column.to_pylist())
        return
    missing = pc.is_null(pc.struct_field(column, "bytes")).to_numpy()
    paths = pc.struct_field(column, "path").to_pylist()
    yield from ((row, paths[row]) for row in np.flatnonzero(missing).tolist())


def _stat_of(path: str | None, media: MediaFolder) -> os.stat_result:
    if path is None:
        raise BadSample("names no file")
    try:
        return os.stat(media.path(path))
    except OSError as error:
        raise BadSample("the file that it names is not there") from error


def _classes(wanted: Sequence[Wanted]) -> tuple[str, ...]:
    """The names of the label column, else those of the tags."""
    ranked = sorted(wanted, key=lambda one: one.kind != "label")
    return next((one.names.ordered for one in ranked if one.kind in ("label", "int64_list") and one.names), ())


def _attributes(wanted: Sequence[Wanted]) -> dict[str, Any]:
    """The vocabulary of tags where the classes are those of a label column."""
    if not any(one.kind == "label" for one in wanted):
        return {}
    return {f"{one.name}_names": list(one.names.ordered) for one in wanted if one.kind == "int64_list" and one.names}


def _first(listing: Listing) -> str:
    return "; ".join(f"{one.name}: {one.reason}" for one in listing.skipped[:1])
