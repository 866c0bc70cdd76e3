"""`orchestrator cluster drain`: take a node out of service."""

from __future__ import annotations

import click

from orchestrator.cli.connect import connect
from orchestrator.cli.options import NODE, json_option
from orchestrator.cli.output import emit, note


@click.command()
@click.argument("node", type=NODE)
@click.option("--note", "why", default="", help="Why; shown to everybody who asks.")
@click.option(
    "--now", is_flag=True, help="Also stop what runs on it: trainings save their state and go on, commands start again."
)
@json_option
def command(node: str, why: str, now: bool, as_json: bool) -> None:
    """Let nothing new start on NODE; what runs there goes on to its end. It takes the role operator.

    On a Slurm cluster Slurm decides what starts where: the refusal says what its operator types. Of a node that is
    drained there, --now stops what cannot leave it.
    """
    from orchestrator.cli.nodetext import drain_sentence

    view = connect().drain(node, note=why, now=now)
    emit(as_json, view, lambda: drain_sentence(view, now=now))
    note(f"next: orchestrator cluster nodes   orchestrator cluster resume {view.name}")
