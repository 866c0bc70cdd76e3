"""`orchestrator data info`: describe a dataset from its index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.base.text import one_line
from orchestrator.cli.commands.data.locate import built_dataset, jsonable
from orchestrator.cli.human import size
from orchestrator.cli.options import WORKLOAD, json_option
from orchestrator.cli.output import emit, table

if TYPE_CHECKING:
    from orchestrator.data.operations import DatasetInfo


@click.command()
@click.argument("dataset", type=WORKLOAD)
@json_option
def command(dataset: str, as_json: bool) -> None:
    """Describe DATASET (a folder, or a card's name or path)."""
    root = built_dataset(dataset)
    from orchestrator.data.operations import info

    found = info(root)
    emit(as_json, jsonable(found), lambda: _text(found))


def _text(found: DatasetInfo) -> str:
    splits = [_split(part.name, part.rows, part.shards, part.bytes) for part in found.splits]
    lines = [
        f"{one_line(found.name)}  version {found.version}",
        f"folder   {found.root}",
        "columns  " + ", ".join(f"{one_line(name)} ({kind})" for name, kind in found.columns),
        f"classes  {len(found.classes)}: " + one_line(", ".join(found.classes), 100),
        f"channels {found.channels}, mean {_numbers(found.mean)}, std {_numbers(found.std)}",
        "",
        table(("split", ">rows", ">shards", ">size"), splits),
    ]
    return "\n".join(lines)


def _split(name: str, rows: int, shards: int, count: int) -> tuple[str, str, str, str]:
    return name, f"{rows:,}", str(shards), size(count)


def _numbers(values: tuple[float, ...]) -> str:
    return "[" + ", ".join(f"{value:.4g}" for value in values) + "]"
