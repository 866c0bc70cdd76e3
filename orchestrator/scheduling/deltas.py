"""What can happen between two decisions. A delta says how things are now; it may be said twice."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.scheduling.cluster import Node
from orchestrator.scheduling.jobs import Job, Running
from orchestrator.scheduling.teams import Team, Usage


@dataclass(frozen=True, slots=True)
class Pends:
    """This job waits, as described: it came, changed, or came back from a run."""

    job: Job


@dataclass(frozen=True, slots=True)
class Runs:
    """This job holds slots, as described: it started, was resized, was asked to stop, or told of its progress."""

    running: Running


@dataclass(frozen=True, slots=True)
class Gone:
    """There is no such job any more: it neither waits nor holds slots."""

    job: str


@dataclass(frozen=True, slots=True)
class NodeIs:
    """A node came or changed."""

    node: Node


@dataclass(frozen=True, slots=True)
class NodeGone:
    """A node is no longer part of the cluster; what it held is told by other deltas."""

    name: str


@dataclass(frozen=True, slots=True)
class Teams:
    """The tree of teams and its usage, as they are now."""

    teams: tuple[Team, ...]
    usage: tuple[Usage, ...]


Delta = Pends | Runs | Gone | NodeIs | NodeGone | Teams
