"""`orchestrator cancel`: stop jobs."""

from __future__ import annotations

import click

from orchestrator.base.errors import OrchestratorError
from orchestrator.cli.connect import connect
from orchestrator.cli.options import JOB, json_option
from orchestrator.cli.output import CommandFailed, emit, state
from orchestrator.spec.messages import JobView


@click.command()
@click.argument("jobs", type=JOB, nargs=-1, required=True, metavar="JOB...")
@json_option
def command(jobs: tuple[str, ...], as_json: bool) -> None:
    """Stop each JOB: it gets time to write a checkpoint, and its slots are freed."""
    client = connect()
    done: list[JobView] = []
    failures: list[OrchestratorError] = []
    for job in jobs:
        try:
            done.append(client.cancel(job))
        except OrchestratorError as error:
            failures.append(error)
    if failures and len(jobs) == 1:
        raise failures[0]
    if not failures or not as_json:
        emit(as_json, done, lambda: "\n".join(f"{job.id} {state(job.state)}" for job in done))
    if failures:
        first = failures[0]
        message = "\n".join(error.message for error in failures)
        raise CommandFailed(message, hint=first.hint, data=done, code=first.code, exit_code=first.exit_code)
