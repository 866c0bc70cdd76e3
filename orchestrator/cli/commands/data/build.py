"""`orchestrator data build`: make a dataset's shards from its card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.base.paths import state_dir
from orchestrator.base.text import one_line
from orchestrator.cli.commands.data.locate import jsonable, require_data_plane
from orchestrator.cli.human import size
from orchestrator.cli.options import WORKLOAD, json_option
from orchestrator.cli.output import emit, note

if TYPE_CHECKING:
    from orchestrator.data.build import BuildReport

_SHOWN = 10


@click.command()
@click.argument("card", type=WORKLOAD)
@click.option("--source", type=click.Path(path_type=Path), help="Where the inputs are.")
@click.option("--out", type=click.Path(path_type=Path), help="A new folder; default: in the state directory.")
@json_option
def command(card: str, source: Path | None, out: Path | None, as_json: bool) -> None:
    """Make the shards of CARD (a dataset card's name or path)."""
    require_data_plane()
    from orchestrator.cli.progress import counter
    from orchestrator.data.build import build
    from orchestrator.spec.load import load_card
    from orchestrator.spec.placement import dataset_root

    loaded = load_card(card)
    root = out or dataset_root(loaded, state_dir())
    root.parent.mkdir(parents=True, exist_ok=True)
    with counter(f"building {loaded.name}", "samples") as progress:
        report = build(loaded, source, root, progress)
    for skipped in report.skipped[:_SHOWN]:
        note(f"left out {one_line(skipped.name)}: {one_line(skipped.reason)}")
    if len(report.skipped) > _SHOWN:
        note(f"… and {len(report.skipped) - _SHOWN:,} more, listed in {root / 'skipped.json'}")
    emit(as_json, jsonable(report), lambda: _text(report))


def _text(report: BuildReport) -> str:
    rows = ", ".join(f"{split} {count:,}" for split, count in report.rows.items())
    left_out = f", {len(report.skipped):,} left out" if report.skipped else ""
    return f"{report.name} {report.version[:16]}: {rows}; {size(report.bytes)}{left_out}\n{report.root}"
