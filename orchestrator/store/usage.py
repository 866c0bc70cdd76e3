"""The table of usage: slot-seconds of teams, decayed; what was used one half-life before counts half."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from orchestrator.store.tables import usage


@dataclass(frozen=True)
class TeamUsage:
    """What a team has used.

    Attributes:
        team: its name.
        slot_seconds: at the time `at`.
        at: seconds since the epoch.
    """

    team: str
    slot_seconds: float
    at: float

    def decayed(self, now: float, half_life: float) -> float:
        """Slot-seconds that still count `now`."""
        return float(self.slot_seconds * 0.5 ** (max(0.0, now - self.at) / half_life))


def add(connection: Connection, used: Mapping[str, float], *, now: float, half_life: float) -> None:
    """Count more slot-seconds of some teams, in the transaction that says up to when their runs are counted."""
    known = {found.team: found for found in all(connection)}
    for team, seconds in used.items():
        before = known[team].decayed(now, half_life) if team in known else 0.0
        connection.execute(delete(usage).where(usage.c.team == team))
        connection.execute(usage.insert().values(team=team, slot_seconds=before + seconds, at=now))


def all(connection: Connection) -> list[TeamUsage]:
    """Of every team that has used something, by name."""
    return [TeamUsage(**row) for row in connection.execute(select(usage).order_by(usage.c.team)).mappings()]
