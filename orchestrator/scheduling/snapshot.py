"""Everything that a decision may depend on. It holds no true durations, and no clock."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.scheduling.cluster import Node
from orchestrator.scheduling.jobs import Job, Running
from orchestrator.scheduling.teams import Team, Usage


@dataclass(frozen=True)
class Snapshot:
    """A cluster and its jobs at one instant.

    Attributes:
        now: seconds since the epoch.
        nodes: in any order; their names decide ties.
        pending: jobs that wait, in any order.
        running: jobs that hold slots.
        teams: those that the profile names; a team that is not there is an ordinary child of the root.
        usage: of teams, decayed.
        max_workers: no run gets more; None: no limit.
        slot_kind: `gpu` or `cpu`.
    """

    now: float
    nodes: tuple[Node, ...]
    pending: tuple[Job, ...] = ()
    running: tuple[Running, ...] = ()
    teams: tuple[Team, ...] = ()
    usage: tuple[Usage, ...] = ()
    max_workers: int | None = None
    slot_kind: str = "gpu"
