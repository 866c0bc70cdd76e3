"""`orchestrator why`: why a job waits, and what would start it."""

from __future__ import annotations

import click

from orchestrator.cli.connect import connect
from orchestrator.cli.options import JOB, json_option
from orchestrator.cli.output import emit


@click.command()
@click.argument("job", type=JOB)
@json_option
def command(job: str, as_json: bool) -> None:
    """Say why JOB waits, since when, when it should start, who is before it, and what would start it.

    Of a job that runs: why it has its width. Of one that is held or over: what happened, and what to do.
    """
    from orchestrator.cli.whytext import why_text

    why = connect().why(job)
    emit(as_json, why, lambda: why_text(why))
