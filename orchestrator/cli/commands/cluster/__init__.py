"""`orchestrator cluster`: the nodes, and taking them out of service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import click

from orchestrator.cli.group import Entry, LazyGroup

_HERE = "orchestrator.cli.commands.cluster."


class ClusterGroup(LazyGroup):
    """The commands on nodes."""

    entries: ClassVar[Mapping[str, Entry]] = {
        "nodes": Entry(_HERE + "nodes", "List the nodes: slots, state, windows of maintenance, jobs on them."),
        "drain": Entry(_HERE + "drain", "Let nothing new start on a node; --now also stops what runs there."),
        "resume": Entry(_HERE + "resume", "Let jobs start on a drained node again."),
    }


@click.command(cls=ClusterGroup)
def command() -> None:
    """Look at the nodes of the cluster, take them out of service, and put them back."""
