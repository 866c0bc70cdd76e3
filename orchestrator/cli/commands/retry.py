"""`orchestrator retry`: queue jobs again."""

from __future__ import annotations

import click

from orchestrator.cli.connect import connect
from orchestrator.cli.each import each
from orchestrator.cli.options import JOB, json_option


@click.command()
@click.argument("jobs", type=JOB, nargs=-1, required=True, metavar="JOB...")
@json_option
def command(jobs: tuple[str, ...], as_json: bool) -> None:
    """Queue each JOB again that failed or was cancelled: a training goes on where it was, a command starts anew."""
    each(jobs, connect().retry, as_json=as_json)
