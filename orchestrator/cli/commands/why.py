"""`orchestrator why`: why a job waits, and what would start it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.connect import connect
from orchestrator.cli.options import JOB, json_option
from orchestrator.cli.output import emit

if TYPE_CHECKING:
    from orchestrator.spec.answers import WhyView


@click.command()
@click.argument("job", type=JOB)
@click.option(
    "--snapshot",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="Not of the live queue, but of one that `orchestrator queue --snapshot` wrote; no server is asked.",
)
@json_option
def command(job: str, snapshot: str | None, as_json: bool) -> None:
    """Say why JOB waits, since when, when it should start, who is before it, and what would start it.

    Of a job that runs: why it has its width. Of one that is held or over: what happened, and what to do.
    """
    from orchestrator.cli.whytext import why_text

    why = connect().why(job) if snapshot is None else _replayed(job, snapshot)
    emit(as_json, why, lambda: why_text(why))


def _replayed(job: str, path: str) -> WhyView:
    from orchestrator.planning.casefile import CaseFile

    with click.open_file(path, encoding="utf-8", errors="replace") as file:
        return CaseFile.of(file.read()).why(job)
