"""Teams where the profile names none: any name is one, so it is told whose a job is, and what looks like a typo."""

from __future__ import annotations

from collections.abc import Collection

from orchestrator.spec.diagnostics import nearest

NOBODYS = "default"
"""The team of workloads that name none."""


def counted_to(team: str) -> list[str]:
    """Whose a job is, where it says so itself."""
    return [] if team == NOBODYS else [f"it is counted to team {team}"]


def unheard_of(team: str, seen: Collection[str]) -> list[str]:
    """What to say of a team that had no job before.

    Args:
        team: that a workload names.
        seen: teams that had one.
    """
    if team in (NOBODYS, *seen):
        return []
    near = nearest(team, [*sorted(seen), NOBODYS])
    return [f"team {team} had no job before" + (f"; did you mean {near!r}?" if near else "")]
