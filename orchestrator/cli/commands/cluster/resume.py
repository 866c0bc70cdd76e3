"""`orchestrator cluster resume`: put a node back into service."""

from __future__ import annotations

import time

import click

from orchestrator.cli.connect import connect
from orchestrator.cli.options import NODE, json_option
from orchestrator.cli.output import emit


@click.command()
@click.argument("node", type=NODE)
@json_option
def command(node: str, as_json: bool) -> None:
    """Let jobs start on NODE again, which was drained. It takes the role operator."""
    from orchestrator.cli.nodetext import node_sentence

    view = connect().resume(node)
    emit(as_json, view, lambda: node_sentence(view, time.time()))
