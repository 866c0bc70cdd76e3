"""`orchestrator data verify`: check every byte of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.base.text import one_line
from orchestrator.cli.commands.data.locate import built_dataset, jsonable
from orchestrator.cli.human import size
from orchestrator.cli.options import WORKLOAD, json_option
from orchestrator.cli.output import CommandFailed, emit

if TYPE_CHECKING:
    from orchestrator.data.verify import Problem

_ROWS_SHOWN = 20
_HINT_LOCAL = "build it again into a new folder, or restore the files that are named"
_HINT_REMOTE = (
    "delete the objects that are named and publish a whole copy again, which uploads no more than those: "
    "orchestrator data publish FOLDER {}"
)


@click.command()
@click.argument("dataset", type=WORKLOAD)
@json_option
def command(dataset: str, as_json: bool) -> None:
    """Compare every byte of DATASET (a card's name or path, a folder, or a URL) with its index.

    A remote dataset is streamed: its shards are checked where they lie, not in this machine's cache.
    """
    root = built_dataset(dataset)
    from orchestrator.cli.progress import counter
    from orchestrator.data.verify import verify

    with counter("verifying", "rows") as progress:
        report = verify(root, progress)
    if not report.ok:
        found = "\n".join(f"  {_problem(problem)}" for problem in report.problems)
        raise CommandFailed(
            f"{root} is damaged:\n{found}",
            hint=_HINT_LOCAL if isinstance(root, Path) else _HINT_REMOTE.format(root),
            data=jsonable(report),
            code="data",
            exit_code=1,
        )
    good = f"{report.name} {report.version[:16]} is whole: {report.rows:,} rows in {report.shards} shards"
    emit(as_json, jsonable(report), lambda: f"{good}, {size(report.bytes)}")


def _problem(problem: Problem) -> str:
    rows = ", ".join(str(row) for row in problem.rows[:_ROWS_SHOWN])
    more = f" and {len(problem.rows) - _ROWS_SHOWN:,} more" if len(problem.rows) > _ROWS_SHOWN else ""
    where = f"rows {rows}{more}" if rows else problem.range * (problem.range not in problem.what)
    return one_line(f"{problem.file}: {problem.what}", 400) + (f" ({where})" if where else "")
