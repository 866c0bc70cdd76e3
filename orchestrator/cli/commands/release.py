"""`orchestrator release`: let held jobs start."""

from __future__ import annotations

import click

from orchestrator.cli.connect import connect
from orchestrator.cli.each import each
from orchestrator.cli.options import JOB, json_option


@click.command()
@click.argument("jobs", type=JOB, nargs=-1, required=True, metavar="JOB...")
@json_option
def command(jobs: tuple[str, ...], as_json: bool) -> None:
    """Let each JOB that is held start when its turn comes."""
    each(jobs, connect().release, as_json=as_json)
