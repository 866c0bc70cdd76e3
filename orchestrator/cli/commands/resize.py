"""`orchestrator resize`: give a running training another number of workers."""

from __future__ import annotations

import time

import click

from orchestrator.base.errors import UsageError
from orchestrator.base.text import counted, one_line
from orchestrator.cli.connect import connect
from orchestrator.cli.options import JOB, json_option
from orchestrator.cli.output import CommandFailed, emit, state
from orchestrator.cli.poll import until
from orchestrator.cli.watch import way_back
from orchestrator.spec.messages import JobView

_MOST_WORKERS = 1_000_000


def _count(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 7 and 1 <= int(text) <= _MOST_WORKERS:
        return int(text)
    raise UsageError(f"{one_line(text, 40)!r} workers? It takes a whole number, from 1 to {_MOST_WORKERS:,}")


@click.command(context_settings={"ignore_unknown_options": True})  # -1 is no option: its message is the one above
@click.argument("job", type=JOB)
@click.argument("workers", callback=_count, required=False)
@click.option("--auto", is_flag=True, help="Let the policy choose the width again; no WORKERS then.")
@click.option("--wait/--no-wait", default=True, help="Wait until it has them, or until it is told why not.")
@json_option
def command(job: str, workers: int | None, auto: bool, wait: bool, as_json: bool) -> None:
    """Give JOB, a training that runs, so many WORKERS: it goes on without a restart, and its result stays the same.

    The policy leaves a width that a person chose alone; --auto hands it back to the policy.
    """
    if auto == (workers is not None):
        raise UsageError(
            "it takes a number of workers, or --auto", hint="orchestrator resize JOB 4   orchestrator resize JOB --auto"
        )
    client = connect()
    if workers is None:
        view = client.resize(job, None)
        emit(as_json, view, lambda: _handed_back(view))
        return
    began = time.monotonic()
    view = client.resize(job, workers)
    if wait:
        view = until(lambda: client.job(view.id), lambda seen: seen.state != "resizing")
        _check(view, workers)
    emit(as_json, view, lambda: _sentence(view, workers, time.monotonic() - began))


def _handed_back(view: JobView) -> str:
    has = f" on {counted(view.runs[-1].world_size, 'worker')}" if view.state in {"running", "resizing"} else ""
    within = counted(view.workers, "worker")
    return f"{view.id} {state(view.state)}{has}; its width is chosen for it again, within {within}"


def _check(view: JobView, workers: int) -> None:
    if view.state == "running" and view.runs and view.runs[-1].wanted == workers:
        return
    raise CommandFailed(
        f"{view.id} was not resized: it is {view.state}: {view.reason}",
        hint=way_back(view.id),
        data=view,
        code="not_resized",
        exit_code=6,
    )


def _sentence(view: JobView, workers: int, seconds: float) -> str:
    if view.state == "resizing":
        return f"{view.id} {state(view.state)} to {counted(workers, 'worker')}"
    has = view.runs[-1].world_size
    missing = "" if has == workers else f"; {has} of them now"
    kept = f"it keeps that width until `orchestrator resize {view.id} --auto`"
    return f"{view.id} {state(view.state)} on {counted(workers, 'worker')}{missing} ({seconds:.1f} s); {kept}"
