"""`orchestrator data stats`: measure a split of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from orchestrator.base.text import one_line
from orchestrator.cli.commands.data.locate import built_dataset, jsonable
from orchestrator.cli.human import figure, size
from orchestrator.cli.options import WORKLOAD, json_option
from orchestrator.cli.output import emit, table

if TYPE_CHECKING:
    from orchestrator.data.statistics import ClassBalance, Counted, Spread, TagCounts
    from orchestrator.data.stats import SplitStats

_HEADS = ("", ">least", ">5 %", ">median", ">95 %", ">most", ">mean")
_NAMED = 5


@click.command()
@click.argument("dataset", type=WORKLOAD)
@click.option("--split", help="Default: the first one.")
@click.option(
    "--sample",
    type=click.IntRange(1, 10_000_000),
    default=2000,
    show_default=True,
    help="Rows that are read; bytes and labels are of all rows.",
)
@json_option
def command(dataset: str, split: str | None, sample: int, as_json: bool) -> None:
    """Measure DATASET (a folder, a URL, or a card's name or path): bytes, classes, image sizes, tags, pixels.

    The mean and std of the pixels are what a card's `statistics` holds.
    """
    location = built_dataset(dataset)
    from orchestrator.cli.progress import counter
    from orchestrator.data.stats import stats

    with counter("reading", "rows") as progress:
        found = stats(location, split, sample=sample, progress=progress)
    emit(as_json, jsonable(found), lambda: _text(found))


def _text(found: SplitStats) -> str:
    lines = [
        f"{one_line(found.name)} {found.split}  version {found.version[:16]}",
        f"{found.rows:,} rows, {size(found.bytes)} in {found.shards:,} shard{'s' * (found.shards != 1)}",
    ]
    for name, balance in found.labels.items():
        lines += ["", *_classes(name, balance)]
    for name, counts in found.tags.items():
        lines += ["", *_tags(name, counts, found.sampled)]
    rows = _spreads(found)
    if rows:
        lines += ["", table(_HEADS, rows)]
    for name, images in found.images.items():
        if images.mean:
            mean, std = (f"[{', '.join(f'{value:.4f}' for value in values)}]" for values in (images.mean, images.std))
            lines += ["", f"pixels of {name}, of {found.sampled:,} rows, in 0..1:", f"  mean: {mean}", f"  std: {std}"]
    return "\n".join(lines)


def _classes(name: str, balance: ClassBalance) -> list[str]:
    classes = f"{one_line(name, 40)}: {balance.classes:,} class{'es' * (balance.classes != 1)}"
    if balance.ratio == 1:
        lines = [f"{classes}, {balance.most[0].count:,} row{'s' * (balance.most[0].count != 1)} each"]
    else:
        lines = [f"{classes}, the most frequent {figure(balance.ratio)} times the least"]
        lines.append(f"  most   {_counted(balance.most)}")
        if balance.classes > _NAMED:
            lines.append(f"  least  {_counted(balance.least)}")
    if balance.absent_count:
        named = one_line(", ".join(balance.absent), 80)
        lines.append(f"  without samples: {balance.absent_count:,}: {named}")
    if balance.unlabelled:
        lines.append(f"  without a label: {balance.unlabelled:,} rows")
    return lines


def _tags(name: str, counts: TagCounts, sampled: int) -> list[str]:
    empty = f", {counts.empty_rows:,} rows without any" if counts.empty_rows else ""
    most = counts.most[0].count if counts.most else 0
    alike = ", each comes once" if most == 1 else ""
    first = f"{one_line(name, 40)}: {counts.distinct:,} different, {figure(counts.per_row)} a row, of {sampled:,} rows"
    return [first + empty + alike, *([f"  most   {_counted(counts.most)}"] if most > 1 else [])]


def _counted(entries: Sequence[Counted]) -> str:
    return ", ".join(f"{one_line(entry.name, 30)} {entry.count:,}" for entry in entries[:_NAMED]) or "-"


def _spreads(found: SplitStats) -> list[tuple[str, ...]]:
    rows: list[tuple[str, Spread | None]] = [("bytes of a record", found.record_bytes)]
    for name, images in found.images.items():
        rows += [(f"{name} height", images.height), (f"{name} width", images.width), (f"{name} w/h", images.aspect)]
    rows += [(f"length of {name}", one) for name, one in found.lengths.items()]
    rows += list(found.numbers.items())
    return [(one_line(name, 40), *_figures(one)) for name, one in rows if one is not None]


def _figures(one: Spread) -> tuple[str, ...]:
    return tuple(figure(value) for value in (one.least, one.p5, one.median, one.p95, one.most, one.mean))
