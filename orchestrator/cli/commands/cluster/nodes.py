"""`orchestrator cluster nodes`: the nodes of the cluster."""

from __future__ import annotations

import time

import click

from orchestrator.cli.connect import connect
from orchestrator.cli.options import json_option
from orchestrator.cli.output import emit, note_lines


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the nodes: slots, used and free; KEPT is free for the job that it was freed for; the workers of jobs."""
    from orchestrator.cli.nodetext import node_table

    client = connect()
    nodes = client.nodes()

    def text() -> str:
        shown = node_table(nodes, time.time()) if nodes else "the cluster has no nodes"
        return "\n".join([*note_lines(client.server().notes), shown])

    emit(as_json, nodes, text)
