"""The tree of teams: weights, quotas, limits, and what each has used of late."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Team:
    """A node of the tree; the root has no name of its own and needs no record.

    Attributes:
        name: unique.
        parent: empty: directly under the root.
        weight: of its share among the children of its parent.
        quota: slots that are its own: what others borrow of them is given back when it asks; None: nothing is
            kept for it.
        limit: slots that it never exceeds; None: no limit.
    """

    name: str
    parent: str = ""
    weight: float = 1.0
    quota: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a team (without those under it) has used, decayed.

    Attributes:
        team: its name.
        slot_seconds: at the time `at`; what was used one half-life before counts half.
        at: seconds since the epoch.
    """

    team: str
    slot_seconds: float
    at: float
