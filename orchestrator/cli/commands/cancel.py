"""`orchestrator cancel`: stop jobs."""

from __future__ import annotations

import click

from orchestrator.cli.connect import connect
from orchestrator.cli.each import each
from orchestrator.cli.options import JOB, json_option


@click.command()
@click.argument("jobs", type=JOB, nargs=-1, required=True, metavar="JOB...")
@json_option
def command(jobs: tuple[str, ...], as_json: bool) -> None:
    """Stop each JOB: it gets time to write a checkpoint, and its slots are freed."""
    each(jobs, connect().cancel, as_json=as_json)
