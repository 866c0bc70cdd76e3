"""Data sets that Hugging Face's `datasets` saved to disk: `state.json` and Arrow files, read through pyarrow alone.

The source is a folder of `Dataset.save_to_disk`, or one of `DatasetDict.save_to_disk`, whose folders are the splits. A
folder of Parquet files as the Hub has it (`data/train-00000-of-00010.parquet`) goes through the converter `parquet`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.base.errors import DataError, NotFound
from orchestrator.base.files import read_json
from orchestrator.data.converters import parquet
from orchestrator.data.converters.features import class_names
from orchestrator.data.converters.listing import Listing
from orchestrator.data.converters.places import contained, source_folder, split_names
from orchestrator.data.converters.table_rows import Chunk, Tables, same_columns, source_of_tables
from orchestrator.data.source import BadSample, Source
from orchestrator.spec.card import DatasetCard

if TYPE_CHECKING:
    import pyarrow as pa

_STATE = "state.json"
_INFO = "dataset_info.json"
_DICT = "dataset_dict.json"
_HINT = "the source is a folder that save_to_disk wrote, or one of Parquet files"


def scan(card: DatasetCard, source: Path | None, listing: Listing | None = None) -> Source:
    """List the rows of the Arrow files; classes are the names in the features. Damaged files are listed as skipped.

    Raises:
        UsageError: no source was given.
        NotFound: the source, or a split of the card, is absent.
        DataError: the source is laid out otherwise, or the card wants columns that it lacks.
    """
    root, listing = source_folder(card, source), listing or Listing()
    folders = _folders(card, root)
    if not folders:
        return parquet.scan(_with_tables(card, root), source, listing)
    load_batch.cache_clear()  # of an earlier scan, whose files may have changed since
    chunks: list[Chunk] = []
    names: dict[str, tuple[str, ...]] = {}
    schema: pa.Schema | None = None
    for split, folder in folders.items():
        listing.uses(folder / _INFO)
        names.update(class_names((read_json(folder / _INFO) or {}).get("features")))
        for path in _arrow_files(root, folder, listing):
            title = path.relative_to(root).as_posix()
            found = _schema(path)
            if isinstance(found, str):
                listing.add(title, found)
                continue
            schema = schema or found
            if same_columns(card, schema, found):
                chunks += _chunks(path, title, split, listing)
            else:
                listing.add(title, "its columns differ from those of the first file")
    if schema is None:
        raise DataError(f"no Arrow file of {root} is whole", hint=_HINT)
    return source_of_tables(card, root, Tables(tuple(chunks), load_batch, schema, names, mapped=True), listing)


@lru_cache(maxsize=4)
def load_batch(path: str, place: int, columns: tuple[str, ...]) -> pa.Table | str:
    """Columns of the record batch at byte `place` of an Arrow stream over a memory map, or why it cannot be read."""
    import pyarrow as pa

    try:
        with pa.memory_map(path) as file:
            schema = pa.ipc.read_schema(file)
            file.seek(place)
            batch = pa.ipc.read_record_batch(pa.ipc.read_message(file), schema)
            return pa.Table.from_batches([batch]).select(list(columns))
    except (pa.ArrowException, OSError, EOFError) as error:
        return f"its record batch cannot be read: {_plain(error)}"


def _folders(card: DatasetCard, root: Path) -> dict[str, Path]:
    """The folder of each split; none where no folder of the source was written by save_to_disk.

    A data set without splits serves a card that cuts them itself.
    """
    splits = split_names(card)
    if (root / _STATE).is_file():
        if splits != ("",):
            raise DataError(f"{root} is one data set without splits", hint="let the card cut them by fractions")
        return {"": root}
    if not (root / _DICT).is_file():
        return {}
    if splits == ("",):
        raise DataError(f"{root} has splits of its own", hint="name them in the card's `splits`, or one as the source")
    folders = {split: root / split for split in splits}
    for split, folder in folders.items():
        if folder.is_symlink() or not (folder / _STATE).is_file():
            there = ", ".join(map(str, (read_json(root / _DICT) or {}).get("splits", ())))
            raise NotFound(f"no split {split!r} in {root}", hint=f"it has {there}")
    return folders


def _with_tables(card: DatasetCard, root: Path) -> DatasetCard:
    """The card with the names of Parquet files as the Hub has them, where it does not say."""
    if card.layout.tables:
        return card
    folder = "data/" if any(root.glob("data/*.parquet")) else ""
    if not any(root.glob(f"{folder}*.parquet")):
        raise NotFound(f"no {_STATE}, {_DICT} or Parquet file in {root}", hint=_HINT)
    tables = f"{folder}{{split}}-*.parquet" if any(split_names(card)) else f"{folder}*.parquet"
    return card.model_copy(update={"layout": card.layout.model_copy(update={"tables": tables})})


def _arrow_files(root: Path, folder: Path, listing: Listing) -> Iterator[Path]:
    """The files that state.json names, in its order, which is the order of the rows."""
    listing.uses(folder / _STATE)
    state = read_json(folder / _STATE)
    files = state.get("_data_files") if state else None
    if not isinstance(files, list):
        raise DataError(f"{folder / _STATE} does not list the Arrow files", hint="save the data set again")
    for entry in files:
        name = str(entry.get("filename")) if isinstance(entry, dict) else str(entry)
        title = name if folder == root else f"{folder.name}/{name}"
        try:
            path = contained(str(root), title)
        except BadSample as error:
            listing.add(title, error.message)
            continue
        if os.path.isfile(path):
            listing.uses(path)
            yield Path(path)
        else:
            listing.add(title, "no such file")


def _schema(path: Path) -> Any:
    """The schema of an Arrow stream, or why there is none."""
    import pyarrow as pa

    if not path.stat().st_size:
        return "the file is empty"
    try:
        with pa.memory_map(str(path)) as file:
            return pa.ipc.read_schema(file)
    except (pa.ArrowException, OSError, EOFError) as error:
        return f"not an Arrow stream: {_plain(error)}"


def _chunks(path: Path, title: str, split: str, listing: Listing) -> Iterator[Chunk]:
    """Every whole record batch of a stream: where it starts, its rows and bytes; a truncated rest is listed."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        schema = pa.ipc.read_schema(file)
        first = 0
        while True:
            place = file.tell()
            try:
                batch = pa.ipc.read_record_batch(pa.ipc.read_message(file), schema)
            except EOFError:
                return
            except (pa.ArrowException, OSError) as error:
                listing.add(f"{title} from row {first}", f"truncated or damaged: {_plain(error)}")
                return
            if batch.num_rows:
                size = file.tell() - place
                yield Chunk(str(path), title, split, place, first, batch.num_rows, size, _apart(batch))
            first += batch.num_rows


def _apart(batch: pa.RecordBatch) -> frozenset[str]:
    """The columns of {bytes, path} that lack some of their bytes."""
    import pyarrow as pa

    return frozenset(
        field.name
        for field, column in zip(batch.schema, batch.columns, strict=True)
        if pa.types.is_struct(field.type)
        and {one.name for one in field.type.fields} == {"bytes", "path"}
        and column.field("bytes").null_count
    )


def _plain(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:200]
