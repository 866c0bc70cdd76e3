"""`orchestrator checkpoint`: have a running training write a checkpoint now."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from functools import partial

import click

from orchestrator.cli.connect import connect
from orchestrator.cli.human import duration
from orchestrator.cli.options import JOB, json_option
from orchestrator.cli.output import CommandFailed, emit
from orchestrator.cli.poll import until
from orchestrator.cli.watch import way_back
from orchestrator.client import Client
from orchestrator.spec.messages import EventView, JobView

_RUNS = frozenset({"running", "resizing"})


@click.command()
@click.argument("job", type=JOB)
@click.option("--wait/--no-wait", default=True, help="Wait until it is written.")
@click.option("--timeout", type=click.FloatRange(min=0), default=300.0, show_default=True, help="Seconds to wait.")
@json_option
def command(job: str, wait: bool, timeout: float, as_json: bool) -> None:
    """Have JOB, a training that runs, write a checkpoint now; it goes on meanwhile."""
    client = connect()
    before = _last(client, client.job(job).id)
    key = secrets.token_hex(8)
    view = client.checkpoint(job, key=key)
    written = _wait(client, view, partial(_written, client, view.id, before, key), timeout) if wait else None
    emit(as_json, {"job": view, "checkpoint": written}, lambda: _sentence(view, written))


def _last(client: Client, job: str) -> int:
    """The newest entry of a job's history."""
    return max((event.id for event in _history(client, job, 0)), default=0)


def _history(client: Client, job: str, last: int) -> Iterator[EventView]:
    while page := client.events(job, after=last):
        yield from page
        last = page[-1].id


def _wait(client: Client, view: JobView, look: Callable[[], EventView | None], timeout: float) -> EventView:
    written, seen = until(
        lambda: (look(), client.job(view.id)),
        lambda found: found[0] is not None or found[1].state not in _RUNS,
        timeout=timeout,
    )
    written = written or look()
    if written is not None:
        return written
    goes_on = seen.state in _RUNS
    why = f"within {duration(timeout)}; it may still come" if goes_on else f"any more: it is {seen.state}"
    raise CommandFailed(
        f"{view.id} wrote no checkpoint {why}",
        hint=way_back(view.id),
        data=seen,
        code="timed_out" if goes_on else "conflict",
        exit_code=7 if goes_on else 6,
    )


def _written(client: Client, job: str, before: int, key: str) -> EventView | None:
    """The first checkpoint that was begun when the run knew of this request, or by a later run."""
    asked: EventView | None = None
    for event in _history(client, job, before):
        if event.kind == "checkpointing" and event.data.get("key") == key:
            asked = event
        elif asked is not None and event.kind == "checkpoint":
            known = event.data.get("asked")
            if event.run != asked.run or (isinstance(known, int) and known >= asked.data["number"]):
                return event
    return None


def _sentence(view: JobView, written: EventView | None) -> str:
    if written is None:
        return f"{view.id} was asked for a checkpoint"
    return f"{view.id} {written.message}: {written.data.get('path', '')}".rstrip(": ")
