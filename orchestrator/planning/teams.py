"""Teams where the profile names none: any name is one, so it is told whose a job is, and what looks like a typo."""

from __future__ import annotations

from collections.abc import Collection

from orchestrator.spec.diagnostics import nearest

NOBODYS = "default"
"""The team of workloads that name none."""
_LIKE = 0.8
"""How alike two names of teams are, of which one must be a slip of the pen (1: the same)."""


def charged_to(team: str, told: Collection[str] = ()) -> list[str]:
    """Whose a job is, where it says so itself.

    Args:
        team: of the job.
        told: of it already; nothing is told twice.
    """
    said = f"it is charged to team {team}"
    return [] if team == NOBODYS or any(line.startswith(said) for line in told) else [said]


def misspelt(team: str, accounts: Collection[str]) -> str | None:
    """The team with an account of its own that was meant by one without; None: none looks so much like it."""
    return None if team in (NOBODYS, *accounts) else nearest(team, sorted(accounts), _LIKE)


def unheard_of(team: str, seen: Collection[str]) -> list[str]:
    """What to say of a team that had no job before.

    Args:
        team: that a workload names.
        seen: teams that had one.
    """
    if team in (NOBODYS, *seen):
        return []
    near = nearest(team, [*sorted(seen), NOBODYS])
    meant = f"; did you mean {near!r}?" if near else ""
    return [f"it is charged to team {team}, which had no job before{meant}"]
