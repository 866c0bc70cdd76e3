"""`orchestrator queue`: what runs and what waits, in the policy's order."""

from __future__ import annotations

import click

from orchestrator.cli.connect import connect
from orchestrator.cli.options import json_option
from orchestrator.cli.output import emit

_SHOWN = 50


@click.command()
@click.option("--team", metavar="NAME", help="Only jobs of this team; places are those in the whole queue.")
@click.option("--all", "everything", is_flag=True, help=f"All jobs that wait, not only the first {_SHOWN}.")
@click.option("--teams", is_flag=True, help="Also what each team uses, beside its share, quota and limit.")
@json_option
def command(team: str | None, everything: bool, teams: bool, as_json: bool) -> None:
    """Show jobs that run and jobs that wait, the next one first; WANTS is slots of a worker x workers.

    A star behind the workers that a job has: a person chose them (`resize`), and the policy leaves them alone.
    """
    from orchestrator.cli.queuetext import queue_text

    queue = connect().queue(team=team, limit=None if everything else _SHOWN)
    emit(as_json, queue, lambda: queue_text(queue, teams=teams))
