"""`orchestrator hold`: keep jobs from starting."""

from __future__ import annotations

import click

from orchestrator.cli.connect import connect
from orchestrator.cli.each import each
from orchestrator.cli.options import JOB, json_option


@click.command()
@click.argument("jobs", type=JOB, nargs=-1, required=True, metavar="JOB...")
@json_option
def command(jobs: tuple[str, ...], as_json: bool) -> None:
    """Keep each JOB, which waits, from starting; it keeps its place, and `orchestrator release` lets it go on."""
    each(jobs, connect().hold, as_json=as_json)
