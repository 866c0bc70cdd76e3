"""Kinetics: CSV label lists, and trimmed videos named by YouTube identifier and seconds.

Lists (the columns of the published ones): `label,youtube_id,time_start,time_end,split` and whatever more; those of test
splits may lack the label. Videos, in any mixture, as downloaders and mirrors lay them out:

    <images>/<label>/<youtube_id>_<start, 6 digits>_<end, 6 digits>.mp4     spaces of the label kept, or `_`
    <images>/<youtube_id>_<start, 6 digits>_<end, 6 digits>.mp4
    <images>/[<label>/]<youtube_id>.mp4

Defaults of the layout: `tables: annotations/{split}.csv`, `images: "{split}"`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import DataError
from orchestrator.data.converters.listing import Listing
from orchestrator.data.converters.places import source_folder, tables_of
from orchestrator.data.converters.values import UNKNOWN
from orchestrator.data.converters.video_lists import ListedVideo, VideoColumns, find_videos
from orchestrator.data.source import Source
from orchestrator.spec.card import DatasetCard

_TABLES = "annotations/{split}.csv"
_IMAGES = "{split}"
_NEEDED = ("youtube_id", "time_start", "time_end")


@dataclass(frozen=True)
class _Row:
    """One line of a label list: where it stands, and its cells by the names in the header."""

    place: str
    cells: Mapping[str, str]

    @property
    def label(self) -> str:
        """The class; empty where the list does not tell."""
        return self.cells.get("label", "").strip()


def scan(card: DatasetCard, source: Path | None, listing: Listing | None = None) -> Source:
    """Find the video of every row of the label lists; classes are sorted by name unless the card lists them.

    Rows whose video is not on disk (in Kinetics there are always many) and videos in no list are listed as skipped.

    Raises:
        UsageError: no source was given.
        NotFound: the source, a label list or a folder of videos is absent.
        DataError: a label list is no such list, or no video of the lists is there.
    """
    root, listing = source_folder(card, source), listing or Listing()
    tables = {
        split: [row for path in paths for row in _rows(root, path)]
        for split, paths in tables_of(card, root, _TABLES, listing).items()
    }
    if card.layout.tables and "{split}" not in card.layout.tables:
        tables = {split: [row for row in rows if _of_split(row, split)] for split, rows in tables.items()}
    fields = next((tuple(row.cells) for rows in tables.values() for row in rows), _NEEDED)
    columns = VideoColumns.of(card, root, fields)
    classes = tuple(card.classes) or tuple(sorted({row.label for rows in tables.values() for row in rows} - {""}))
    lists = {split: list(_listed(rows, classes, listing)) for split, rows in tables.items()}
    folders = {split: (card.layout.images or _IMAGES).replace("{split}", split) for split in tables}
    return listing.source(classes, find_videos(root, folders, lists, columns, listing))


def _listed(rows: Sequence[_Row], classes: tuple[str, ...], listing: Listing) -> Iterator[ListedVideo]:
    numbers = {name: number for number, name in enumerate(classes)}
    for row in rows:
        if row.label and row.label not in numbers:
            listing.add(row.place, f"{row.label!r} is no class of the card")
            continue
        try:
            stems = _stems(row)
        except (ValueError, OverflowError):
            listing.add(row.place, "its time_start or time_end is no number")
            continue
        folders = (row.label, row.label.replace(" ", "_"))
        yield ListedVideo(row.place, stems, folders, numbers.get(row.label, UNKNOWN), row.cells)


def _stems(row: _Row) -> tuple[str, ...]:
    name = row.cells["youtube_id"].strip()
    start, end = (int(float(row.cells[column])) for column in ("time_start", "time_end"))
    return (f"{name}_{start:06d}_{end:06d}", f"{name}_{start}_{end}", name)


def _of_split(row: _Row, split: str) -> bool:
    return row.cells.get("split", split).strip() == split


def _rows(root: Path, path: Path) -> Iterator[_Row]:
    name = path.relative_to(root).as_posix()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [cell.strip().lower() for cell in next(reader, ())]
            _check_header(path, header)
            for cells in reader:
                if cells:
                    padded = [*cells, *[""] * (len(header) - len(cells))]
                    row = dict(zip(header, padded, strict=False))
                    yield _Row(f"{name}:{reader.line_num} {row['youtube_id']}", row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV file in UTF-8: {error}") from error


def _check_header(path: Path, header: Sequence[str]) -> None:
    if not header:
        raise DataError(f"{path} is empty", hint="a label list starts with label,youtube_id,time_start,time_end,split")
    lacking = [name for name in _NEEDED if name not in header]
    if lacking:
        raise DataError(
            f"{path} has no column {lacking[0]!r}: its first line is {','.join(header)[:200]!r}",
            hint="a label list starts with label,youtube_id,time_start,time_end,split",
        )
