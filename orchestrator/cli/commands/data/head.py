"""`orchestrator data head`: the first rows of a dataset."""

from __future__ import annotations

import click

from orchestrator.base.errors import UsageError
from orchestrator.cli.commands.data.locate import built_dataset, jsonable
from orchestrator.cli.human import size
from orchestrator.cli.options import WORKLOAD, json_option
from orchestrator.cli.output import emit, table


@click.command()
@click.argument("dataset", type=WORKLOAD)
@click.option("-n", "--rows", "count", type=click.IntRange(1, 10_000), default=10, show_default=True)
@click.option("--split", help="Default: the first one.")
@json_option
def command(dataset: str, count: int, split: str | None, as_json: bool) -> None:
    """Show the first rows of DATASET (a folder, or a card's name or path)."""
    root = built_dataset(dataset)
    from orchestrator.data.operations import head, info

    splits = [part.name for part in info(root).splits]
    if split is not None and split not in splits:
        raise UsageError(f"there is no split {split!r}", hint=f"splits: {', '.join(splits)}")
    rows = head(root, count, split)
    cells = [(r.split, str(r.row), str(r.label), r.class_name, size(r.bytes), f"{r.width}x{r.height}") for r in rows]
    heads = ("split", ">row", ">label", "class", ">size", ">pixels")
    emit(as_json, jsonable(rows), lambda: table(heads, cells))
