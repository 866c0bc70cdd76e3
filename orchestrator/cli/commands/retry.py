"""`orchestrator retry`: queue a job again."""

from __future__ import annotations

import click

from orchestrator.cli.connect import connect
from orchestrator.cli.options import JOB, json_option
from orchestrator.cli.output import emit, state


@click.command()
@click.argument("job", type=JOB)
@json_option
def command(job: str, as_json: bool) -> None:
    """Queue JOB again, which failed or was cancelled: a training goes on from its checkpoint, a command starts anew."""
    view = connect().retry(job)
    emit(as_json, view, lambda: f"{view.id} {state(view.state)}")
