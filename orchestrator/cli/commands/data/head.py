"""`orchestrator data head`: the first rows of a dataset, as a table and as a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.base.errors import UsageError
from orchestrator.base.files import write_atomic
from orchestrator.cli.commands.data.locate import built_dataset, jsonable
from orchestrator.cli.options import WORKLOAD, json_option
from orchestrator.cli.output import emit, table

if TYPE_CHECKING:
    from orchestrator.data.operations import HeadRow

_ROWS = 10
_ROWS_OF_SHEET = 40
_MOST_ACROSS = 6


@click.command()
@click.argument("dataset", type=WORKLOAD)
@click.option("-n", "--rows", "count", type=click.IntRange(1, 10_000), help="Default: 10, on a sheet 40.")
@click.option("--split", help="Default: the first one.")
@click.option("--sheet", type=click.Path(path_type=Path, dir_okay=False), help="Draw the rows into this PNG file.")
@json_option
def command(dataset: str, count: int | None, split: str | None, sheet: Path | None, as_json: bool) -> None:
    """Show the first rows of DATASET (a folder, a URL, or a card's name or path).

    With --sheet they are drawn instead: thumbnails with labels and boxes, of videos the first frame.
    """
    location = built_dataset(dataset)
    from orchestrator.data.operations import head, info

    splits = [part.name for part in info(location).splits]
    if split is not None and split not in splits:
        raise UsageError(f"there is no split {split!r}", hint=f"splits: {', '.join(splits)}")
    drawn = "" if sheet is None else _draw(location, split, count or _ROWS_OF_SHEET, sheet)
    if drawn and not as_json:
        emit(as_json, None, lambda: drawn)
        return
    rows = head(location, count or _ROWS, split)
    emit(as_json, jsonable(rows), lambda: _text(rows))


def _text(rows: Sequence[HeadRow]) -> str:
    """A table; of many columns, one below the other."""
    if not rows:
        return "no rows"
    if len(rows[0].cells) <= _MOST_ACROSS:
        return table(("split", ">row", *rows[0].cells), [(r.split, str(r.row), *r.cells.values()) for r in rows])
    width = max(map(len, rows[0].cells))
    blocks = [
        "\n".join([f"{r.split} row {r.row:,}", *(f"  {name:{width}}  {said}" for name, said in r.cells.items())])
        for r in rows
    ]
    return "\n\n".join(blocks)


def _draw(location: Path | str, split: str | None, count: int, sheet: Path) -> str:
    if sheet.suffix.lower() != ".png":
        raise UsageError(f"{sheet} is no PNG file", hint="name it --sheet something.png")
    from orchestrator.data.operations import first_split
    from orchestrator.data.sheet import contact_sheet

    dataset = first_split(location, split)
    rows = range(min(count, len(dataset)))
    try:
        write_atomic(sheet, contact_sheet(dataset, rows), durable=False)
    except OSError as error:
        raise UsageError(f"cannot write {sheet}: {error.strerror}") from error
    return f"drew {len(rows):,} rows of {dataset.split.name} into {sheet}"
