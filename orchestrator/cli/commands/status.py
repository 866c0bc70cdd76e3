"""`orchestrator status`: the server and its queue, or one job."""

from __future__ import annotations

import click

from orchestrator.base.text import counted
from orchestrator.cli.connect import connect
from orchestrator.cli.history import CHECKPOINT, repeats, whole_history
from orchestrator.cli.human import ago
from orchestrator.cli.jobtext import event_line, job_details, job_table
from orchestrator.cli.options import JOB, json_option
from orchestrator.cli.output import emit, note_lines
from orchestrator.client import Client
from orchestrator.spec.messages import JobView, ServerInfo

ACTIVE = ("queued", "held", "starting", "running", "resizing", "recovering", "cancelling")
_LAST_EVENTS = 8
_SHOWN = 1000


@click.command()
@click.argument("job", type=JOB, required=False)
@json_option
def command(job: str | None, as_json: bool) -> None:
    """Show where JOB stands and why; without JOB: the server, its slots, and what runs and waits."""
    client = connect()
    if job is not None:
        _one(client, job, as_json)
        return
    server, jobs = client.server(), client.jobs(states=ACTIVE, limit=_SHOWN)
    emit(as_json, {"server": server, "jobs": jobs}, lambda: _overview(server, jobs))


def _one(client: Client, job: str, as_json: bool) -> None:
    view = client.job(job)
    history = whole_history(client, view.id)
    checkpoint = next((event for event in reversed(history) if event.kind == CHECKPOINT), None)
    events = [event for event in history if event.kind != CHECKPOINT and not repeats(event)][-_LAST_EVENTS:]
    document = {"job": view, "checkpoint": checkpoint, "events": events}
    emit(as_json, document, lambda: "\n".join([job_details(view, checkpoint), "", *map(event_line, events)]))


def _overview(server: ServerInfo, jobs: list[JobView]) -> str:
    cores = f", {server.cpus_free} of {counted(server.cpus, 'core')} free" if server.cpus else ""
    free = f"{server.slots_free} of {counted(server.slots, 'slot')} free{cores}"
    head = (
        f"cluster {server.profile} ({server.backend}): {free}; "
        f"server {server.version}, up {ago(server.started_at).removesuffix(' ago')}, process {server.pid}"
    )
    head = "\n".join([head, *note_lines(server.notes)])
    return f"{head}\n\n{job_table(jobs)}" if jobs else f"{head}\nno job runs or waits"
