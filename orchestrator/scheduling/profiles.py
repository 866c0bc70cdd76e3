"""What a cluster profile says of teams and maintenance, in the scheduler's own terms."""

from __future__ import annotations

import math
from collections.abc import Mapping

from orchestrator.scheduling.cluster import Window
from orchestrator.scheduling.teams import Team
from orchestrator.spec.profile import ClusterProfile


def teams_of(profile: ClusterProfile) -> tuple[Team, ...]:
    """The teams that a profile names."""
    return tuple(Team(t.name, t.parent or "", t.weight, t.quota, t.limit) for t in profile.teams)


def windows_of(profile: ClusterProfile, now: float = -math.inf) -> Mapping[str, tuple[Window, ...]]:
    """The windows of maintenance of each node that has any, in order of time.

    Args:
        profile: of the cluster.
        now: windows that are over by then are left out, seconds since the epoch.
    """
    found: dict[str, list[Window]] = {}
    for entry in profile.maintenance:
        for name in entry.nodes if entry.end > now else ():
            found.setdefault(name, []).append(Window(entry.start, entry.end, entry.why))
    return {name: tuple(sorted(windows, key=lambda window: window.start)) for name, windows in found.items()}
