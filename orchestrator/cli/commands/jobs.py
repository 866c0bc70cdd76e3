"""`orchestrator jobs`: list jobs."""

from __future__ import annotations

import click

from orchestrator.cli.commands.status import ACTIVE
from orchestrator.cli.connect import connect
from orchestrator.cli.jobtext import job_table
from orchestrator.cli.options import json_option
from orchestrator.cli.output import emit

STATES = (*ACTIVE, "succeeded", "failed", "cancelled")


@click.command()
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only these; may be repeated.")
@click.option("--active", is_flag=True, help="Only jobs that are not over.")
@click.option("--name", help="Only jobs of this name.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
def command(states: tuple[str, ...], active: bool, name: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    wanted = (*states, *(ACTIVE if active else ()))
    jobs = connect().jobs(states=wanted, name=name, limit=limit)
    emit(as_json, jobs, lambda: job_table(jobs) if jobs else "no jobs")
