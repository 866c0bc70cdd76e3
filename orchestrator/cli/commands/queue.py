"""`orchestrator queue`: what runs and what waits, in the policy's order."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.base.errors import UsageError
from orchestrator.cli.connect import connect
from orchestrator.cli.options import json_option
from orchestrator.cli.output import emit

_SHOWN = 50


def save(path: str, *, as_json: bool) -> None:
    """Write the live queue to a file.

    Raises:
        UsageError: the file cannot be written.
    """
    content = connect().snapshot()
    try:
        Path(path).write_text(content, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint="name a file that you may write") from None
    hint = f"`orchestrator why JOB --snapshot {path}` explains it anywhere; it names jobs, owners, teams and nodes"
    emit(as_json, {"file": path, "bytes": len(content.encode())}, lambda: f"{path} written: {hint}")


@click.command()
@click.option("--team", metavar="NAME", help="Only jobs of this team; places are those in the whole queue.")
@click.option("--all", "everything", is_flag=True, help=f"All jobs that wait, not only the first {_SHOWN}.")
@click.option("--teams", is_flag=True, help="Also what each team uses, beside its share, quota and limit.")
@click.option(
    "--snapshot",
    type=click.Path(dir_okay=False, writable=True),
    help="Write what the policy sees now, and the policy, to this file, for a bug report: `why` reads it.",
)
@json_option
def command(team: str | None, everything: bool, teams: bool, snapshot: str | None, as_json: bool) -> None:
    """Show jobs that run and jobs that wait, the next one first; WANTS is slots of a worker x workers.

    A star behind the workers that a job has: a person chose them (`resize`), and the policy leaves them alone.
    """
    from orchestrator.cli.queuetext import queue_text

    if snapshot is not None:
        if team is not None or everything or teams:
            hint = "leave --team, --all and --teams out"
            raise UsageError("--snapshot saves the whole queue, not a part of it", hint=hint)
        save(snapshot, as_json=as_json)
        return
    queue = connect().queue(team=team, limit=None if everything else _SHOWN)
    emit(as_json, queue, lambda: queue_text(queue, teams=teams))
