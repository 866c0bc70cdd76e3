"""`orchestrator events`: a job's history."""

from __future__ import annotations

import click

from orchestrator.cli.connect import connect
from orchestrator.cli.history import event_lines, repeats, whole_history
from orchestrator.cli.jobtext import event_line
from orchestrator.cli.options import JOB, json_option
from orchestrator.cli.output import emit, emit_line
from orchestrator.cli.watch import follow
from orchestrator.spec.messages import EventView, JobView


@click.command()
@click.argument("job", type=JOB)
@click.option("-f", "--follow", "following", is_flag=True, help="Follow it until the job ends.")
@json_option
def command(job: str, following: bool, as_json: bool) -> None:
    """Show what happened to JOB, and why."""
    client = connect()
    if following:
        follow(client, client.job(job).id, _Lines(as_json))
        return
    history = whole_history(client, job)
    emit(as_json, history, lambda: "\n".join(event_lines(history)))


class _Lines:
    """A line on stdout for each event."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def event(self, event: EventView) -> None:
        if self._as_json:
            emit_line(event)
        elif not repeats(event):
            click.echo(event_line(event))

    def job(self, job: JobView) -> None:
        """The history alone is shown."""
