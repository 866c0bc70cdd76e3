"""`orchestrator submit`: check a workload here, queue it, and follow it where that is asked for."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from orchestrator.base.errors import UsageError
from orchestrator.cli.connect import check_tracking, connect, other_object_store
from orchestrator.cli.options import WORKLOAD, json_option, set_option
from orchestrator.cli.output import CommandFailed, emit, note
from orchestrator.cli.watch import follow
from orchestrator.client import Client
from orchestrator.planning.teams import charged_to
from orchestrator.spec.messages import JobView, ResultsView, SubmitReply, SubmitRequest


@click.command()
@click.argument("files", type=WORKLOAD, nargs=-1, required=True, metavar="FILE...")
@set_option
@click.option("-w", "--watch", is_flag=True, help="Follow the job to its end; Ctrl-C leaves it running.")
@click.option("--timeout", metavar="TIME", help="With --watch: give up watching after e.g. 90m (exit code 7).")
@click.option("--key", help="The same key twice is one job; default: a new key for each call.")
@click.option("--cluster", metavar="NAME", help="The cluster profile that it must run on.")
@json_option
def command(
    files: tuple[str, ...],
    overrides: tuple[str, ...],
    watch: bool,
    timeout: str | None,
    key: str | None,
    cluster: str | None,
    as_json: bool,
) -> None:
    """Queue the workload in FILE (`-`: standard input) and print the job's identifier.

    Several files are queued together, all or none, in their order; each may depend on those before it. With --json, one
    file gives an object, several give a list of them.
    """
    seconds = _seconds(timeout, watch)
    if files.count("-") > 1:
        raise UsageError("standard input (`-`) is named twice", hint="it can be read once")
    if watch and len(files) > 1:
        raise UsageError("--watch follows one job", hint="submit first, then: orchestrator events -f JOB")
    requests, datasets = _requests(files, overrides, key)
    client = connect(cluster)
    check_tracking(client)
    for dataset in datasets:
        if odd := other_object_store(client, dataset):
            note(f"note: {odd}")
    replies = _submit(client, requests)
    _tell(replies)
    if not watch:
        emit(as_json, replies[0] if len(files) == 1 else replies, lambda: "\n".join(r.job.id for r in replies))
        job = replies[0].job.id
        note(
            f"next: orchestrator status {job}   orchestrator logs -f {job}"
            if len(files) == 1
            else "next: orchestrator queue"
        )
        return
    if not as_json:
        click.echo(replies[0].job.id)
    _watch(client, replies[0], seconds, as_json)


def _tell(replies: Sequence[SubmitReply]) -> None:
    """Whatever is to be said of them, each sentence once."""
    for warning in dict.fromkeys(warning for reply in replies for warning in reply.warnings):
        note(f"warning: {warning}")
    for whose in dict.fromkeys(text for reply in replies for text in charged_to(reply.job.team, reply.warnings)):
        note(f"note: {whose}")
    for reply in replies:
        if not reply.created:
            note(f"this key was known already: {reply.job.id} is {reply.job.state}")


def _requests(
    files: Sequence[str], overrides: tuple[str, ...], key: str | None
) -> tuple[list[SubmitRequest], list[str]]:
    """What is sent, and the datasets that the workloads name."""
    from orchestrator.cli.revision import code_version
    from orchestrator.cli.source import read_source
    from orchestrator.spec.load import parse_workload
    from orchestrator.spec.submitter import submitter_environment
    from orchestrator.spec.workload import CommandWorkload

    requests: list[SubmitRequest] = []
    datasets: dict[str, None] = {}
    prefix, code, environment = key or f"cli-{secrets.token_hex(16)}", code_version(), submitter_environment(os.environ)
    for number, file in enumerate(files):
        source = read_source(file)
        workload = parse_workload(source.content, source.filename, overrides)
        requests.append(
            SubmitRequest(
                source=source.content.decode(),
                filename=source.filename,
                overrides=list(overrides),
                client_key=prefix if len(files) == 1 else f"{prefix}-{number}",
                workdir=str(Path.cwd()),
                environment=environment,
                code=code,
            )
        )
        if not isinstance(workload, CommandWorkload):
            datasets[workload.data.dataset] = None
    return requests, list(datasets)


def _submit(client: Client, requests: Sequence[SubmitRequest]) -> list[SubmitReply]:
    try:
        return [client.submit(requests[0])] if len(requests) == 1 else client.submit_many(requests)
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
    from orchestrator.cli.logtail import has_logs, last_lines

    code = "job_cancelled" if job.state == "cancelled" else "job_failed"
    hint = f"orchestrator status {job.id}   orchestrator {'logs' if has_logs(client, job.id) else 'why'} {job.id}"
    if job.state == "failed":
        for line in last_lines(client, job.id, 15):
            note(f"  | {line}")
    message = f"{job.id} {job.state}" + (f": {job.reason}" if job.reason else "")
    return CommandFailed(message, hint=hint, data=data, code=code, exit_code=1)


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
