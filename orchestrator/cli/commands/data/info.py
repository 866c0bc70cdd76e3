"""`orchestrator data info`: describe a dataset from its index."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from orchestrator.base.text import one_line
from orchestrator.cli.commands.data.locate import built_dataset, jsonable
from orchestrator.cli.human import size
from orchestrator.cli.options import WORKLOAD, json_option
from orchestrator.cli.output import emit, table

if TYPE_CHECKING:
    from orchestrator.data.operations import DatasetInfo

_VISUAL = ("image", "video")
_WIDTH = 88
_UNBROKEN = "\0"


@click.command()
@click.argument("dataset", type=WORKLOAD)
@json_option
def command(dataset: str, as_json: bool) -> None:
    """Describe DATASET (a folder, a URL, or a card's name or path)."""
    location = built_dataset(dataset)
    from orchestrator.data.operations import info

    found = info(location)
    emit(as_json, jsonable(found), lambda: _text(found))


def _text(found: DatasetInfo) -> str:
    splits = [_split(part.name, part.rows, part.shards, part.bytes) for part in found.splits]
    lines = [
        f"{one_line(found.name)}  version {found.version}",
        f"at         {found.location}",
        *_columns(found.columns),
        "classes    "
        + (f"{len(found.classes):,}: {one_line(', '.join(found.classes), 100)}" if found.classes else "-"),
    ]
    if any(kind in _VISUAL for _, kind in found.columns):
        lines.append(f"pixels     {found.channels} channel{'s' * (found.channels != 1)}, {_statistics(found)}")
    lines += [f"attribute  {one_line(name)}: {_summary(value)}" for name, value in sorted(found.attributes.items())]
    return "\n".join([*lines, "", table(("split", ">rows", ">shards", ">size"), splits)])


def _columns(columns: Sequence[tuple[str, str]]) -> list[str]:
    """The columns, over as many lines as they need; none is cut in two."""
    said = (f"{one_line(name, 60)} ({kind})".replace(" ", _UNBROKEN) for name, kind in columns)
    wrapped = textwrap.wrap(", ".join(said), _WIDTH, break_long_words=False, break_on_hyphens=False)
    return [
        f"{head:<11}{line.replace(_UNBROKEN, ' ')}"
        for head, line in zip(("columns", *[""] * len(wrapped)), wrapped, strict=False)
    ]


def _statistics(found: DatasetInfo) -> str:
    if not found.mean:
        return "mean and std not stated (measure them: orchestrator data stats)"
    return f"mean {_numbers(found.mean)}, std {_numbers(found.std)}"


def _summary(value: Any) -> str:
    """An attribute in one short line."""
    if isinstance(value, list):
        first = one_line(str(value[0]), 60) if value else ""
        return f"{len(value):,} entries" + (f", the first: {first}" if value else "")
    if isinstance(value, dict):
        return f"{len(value):,} keys: {one_line(', '.join(map(str, value)), 60)}"
    return one_line(str(value), 80)


def _split(name: str, rows: int, shards: int, count: int) -> tuple[str, str, str, str]:
    return name, f"{rows:,}", f"{shards:,}", size(count)


def _numbers(values: tuple[float, ...]) -> str:
    return "[" + ", ".join(f"{value:.4g}" for value in values) + "]"
