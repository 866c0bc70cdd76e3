"""The table of nodes: what people said about them; a node that nobody said anything about has no row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, delete, select

from orchestrator.store.tables import nodes

NodeState = Literal["up", "drained"]


@dataclass(frozen=True)
class NodeMark:
    """A person's word on a node.

    Attributes:
        name: of the node.
        state: `drained`: what runs on it goes on, nothing new starts.
        note: why.
        by: who said it.
        since: seconds since the epoch.
    """

    name: str
    state: NodeState
    note: str
    by: str
    since: float


def set_state(connection: Connection, name: str, state: NodeState, *, note: str, by: str, time: float) -> None:
    """Write down what somebody said; the newest word counts."""
    connection.execute(delete(nodes).where(nodes.c.name == name))
    connection.execute(nodes.insert().values(name=name, state=state, note=note, by=by, since=time))


def all(connection: Connection) -> Mapping[str, NodeMark]:
    """By name."""
    return {row["name"]: NodeMark(**row) for row in connection.execute(select(nodes)).mappings()}
