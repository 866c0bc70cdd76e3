"""`orchestrator submit`: check a workload here, queue it, and follow it where that is asked for."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import click

from orchestrator.base.errors import UsageError
from orchestrator.cli.connect import check_tracking, connect, other_object_store
from orchestrator.cli.options import WORKLOAD, json_option, set_option
from orchestrator.cli.output import CommandFailed, emit, note
from orchestrator.cli.source import read_source
from orchestrator.cli.watch import follow, way_back
from orchestrator.client import Client
from orchestrator.planning.teams import charged_to
from orchestrator.spec.messages import JobView, ResultsView, SubmitReply, SubmitRequest


@click.command()
@click.argument("file", type=WORKLOAD)
@set_option
@click.option("-w", "--watch", is_flag=True, help="Follow the job to its end; Ctrl-C leaves it running.")
@click.option("--timeout", metavar="TIME", help="With --watch: give up watching after e.g. 90m (exit code 7).")
@click.option("--key", help="The same key twice is one job; default: a new key for each call.")
@click.option("--cluster", metavar="NAME", help="The cluster profile that it must run on.")
@json_option
def command(
    file: str,
    overrides: tuple[str, ...],
    watch: bool,
    timeout: str | None,
    key: str | None,
    cluster: str | None,
    as_json: bool,
) -> None:
    """Queue the workload in FILE (`-`: standard input) and print the job's identifier."""
    seconds = _seconds(timeout, watch)
    request, dataset = _request(file, overrides, key)
    client = connect(cluster)
    check_tracking(client)
    if odd := other_object_store(client, dataset):
        note(f"note: {odd}")
    reply = _submit(client, request)
    job = reply.job.id
    for warning in reply.warnings:
        note(f"warning: {warning}")
    for whose in charged_to(reply.job.team, reply.warnings):
        note(f"note: {whose}")
    if not reply.created:
        note(f"this key was known already: {job} is {reply.job.state}")
    if not watch:
        emit(as_json, reply, lambda: job)
        note(f"next: orchestrator status {job}   orchestrator logs -f {job}")
        return
    if not as_json:
        click.echo(job)
    _watch(client, reply, seconds, as_json)


def _request(file: str, overrides: tuple[str, ...], key: str | None) -> tuple[SubmitRequest, str]:
    """What is sent, and the dataset that the workload names; empty where it names none."""
    from orchestrator.cli.revision import code_version
    from orchestrator.spec.load import parse_workload
    from orchestrator.spec.submitter import submitter_environment
    from orchestrator.spec.workload import CommandWorkload

    source = read_source(file)
    workload = parse_workload(source.content, source.filename, overrides)
    request = SubmitRequest(
        source=source.content.decode(),
        filename=source.filename,
        overrides=list(overrides),
        client_key=key or f"cli-{secrets.token_hex(16)}",
        workdir=str(Path.cwd()),
        environment=submitter_environment(os.environ),
        code=code_version(),
    )
    return request, "" if isinstance(workload, CommandWorkload) else workload.data.dataset


def _submit(client: Client, request: SubmitRequest) -> SubmitReply:
    try:
        return client.submit(request)
    except KeyboardInterrupt:
        raise CommandFailed(
            "interrupted before the server answered; the job may have been queued",
            hint="orchestrator jobs",
            code="interrupted",
            exit_code=130,
        ) from None


def _watch(client: Client, reply: SubmitReply, seconds: float | None, as_json: bool) -> None:
    from orchestrator.cli.progress import job_display

    job = reply.job.id
    note(f"watching {job}; Ctrl-C leaves it running")
    with job_display() as display:
        final = follow(client, job, display, timeout=seconds)
    results = client.results(job)
    data = {"job": final, "created": reply.created, "warnings": reply.warnings, "results": results}
    if final.state != "succeeded":
        raise _failed(client, final, data)
    emit(as_json, data, lambda: _outcome(results))
    note(f"next: orchestrator results {job}" + ("   orchestrator mlflow" if results.trials else ""))


def _outcome(results: ResultsView) -> str:
    from orchestrator.cli.resulttext import results_text

    return results_text(results)


def _failed(client: Client, job: JobView, data: dict[str, Any]) -> CommandFailed:
    from orchestrator.cli.logtail import last_lines

    code = "job_cancelled" if job.state == "cancelled" else "job_failed"
    if job.state == "failed":
        for line in last_lines(client, job.id, 15):
            note(f"  | {line}")
    message = f"{job.id} {job.state}" + (f": {job.reason}" if job.reason else "")
    return CommandFailed(message, hint=way_back(job.id).replace(" -f", ""), data=data, code=code, exit_code=1)


def _seconds(timeout: str | None, watch: bool) -> float | None:
    from orchestrator.spec.units import parse_duration

    if timeout is None:
        return None
    if not watch:
        raise UsageError("--timeout is for --watch", hint="a job's own limit is `time_limit` in its workload")
    try:
        return parse_duration(float(timeout) if timeout.replace(".", "", 1).isdigit() else timeout)
    except ValueError as error:
        raise UsageError(f"--timeout: {error}") from None
