"""Tables of images with tags, captions or classes in Parquet files.

Splits are globs (`train/*.parquet`) or names for `layout.tables` (`data/{split}-*.parquet`). An image is a column of
encoded bytes, a struct {bytes, path} as Hugging Face writes it, or a path relative to `layout.images`. Tags are lists,
or strings that the column's `separator` cuts. Build big tables with `row_order: source`: each row group is then read
once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.base.errors import DataError
from orchestrator.data.converters.features import class_names
from orchestrator.data.converters.listing import Listing
from orchestrator.data.converters.places import source_folder, split_names, tables_of
from orchestrator.data.converters.table_rows import Chunk, Tables, same_columns, source_of_tables
from orchestrator.data.source import Source
from orchestrator.spec.card import DatasetCard

if TYPE_CHECKING:
    import pyarrow as pa

_EVERY = "**/*.parquet"


def scan(card: DatasetCard, source: Path | None, listing: Listing | None = None) -> Source:
    """List the rows of Parquet files from their footers; files that are damaged or differ are listed as skipped.

    Raises:
        UsageError: no source was given.
        NotFound: the source or all files of a split are absent.
        DataError: no file is whole, or the card wants columns that they lack.
    """
    root, listing = source_folder(card, source), listing or Listing()
    load_row_group.cache_clear()  # of an earlier scan, whose files may have changed since
    default = "{split}" if any(split_names(card)) else _EVERY
    chunks: list[Chunk] = []
    schema: pa.Schema | None = None
    for split, paths in tables_of(card, root, default, listing).items():
        for path in paths:
            title = path.relative_to(root).as_posix()
            found = _footer(path)
            if isinstance(found, str):
                listing.add(title, found)
                continue
            metadata, columns = found
            schema = schema or columns
            if same_columns(card, schema, columns):
                chunks += _chunks(metadata, path, title, split)
            else:
                listing.add(title, "its columns differ from those of the first file")
    if schema is None:
        raise DataError(f"no Parquet file of {root} is whole", hint=listing.skipped[0].reason)
    return source_of_tables(card, root, Tables(tuple(chunks), load_row_group, schema, _class_names(schema)), listing)


@lru_cache(maxsize=2)
def load_row_group(path: str, place: int, columns: tuple[str, ...]) -> pa.Table | str:
    """Columns of one row group, or why it cannot be read; a process keeps the last two."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read_row_group(place, columns=list(columns), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        return f"row group {place} cannot be read: {_plain(error)}"


def _footer(path: Path) -> tuple[Any, pa.Schema] | str:
    """The metadata and columns of a Parquet file, or why they cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.stat().st_size:
        return "the file is empty"
    try:
        with pq.ParquetFile(path) as file:
            return file.metadata, file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        return f"not a whole Parquet file: {_plain(error)}"


def _chunks(metadata: Any, path: Path, title: str, split: str) -> Iterator[Chunk]:
    first = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if group.num_rows:
            yield Chunk(str(path), title, split, number, first, group.num_rows, group.total_byte_size, _apart(group))
        first += group.num_rows


def _apart(group: Any) -> frozenset[str]:
    """The columns of {bytes, path} that may lack some of their bytes, as far as the footer tells."""
    columns = {one.path_in_schema: one for one in map(group.column, range(group.num_columns))}
    return frozenset(
        name.removesuffix(".bytes")
        for name, one in columns.items()
        if name.endswith(".bytes")
        and f"{name.removesuffix('.bytes')}.path" in columns
        and not (one.statistics and one.statistics.has_null_count and one.statistics.null_count == 0)
    )


def _class_names(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """Names of classes that Hugging Face's writer leaves in the schema."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return class_names(features)


def _plain(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:200]
