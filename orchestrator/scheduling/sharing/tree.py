"""The tree of teams: who is under whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.scheduling.teams import Team

ROOT = ""


class Tree:
    """Teams by name. A team that no record names is an ordinary child of the root.

    Args:
        teams: the records. A parent without a record is a child of the root; teams whose parents form a circle too.
    """

    def __init__(self, teams: Iterable[Team]) -> None:
        self.teams: Mapping[str, Team] = {team.name: team for team in teams if team.name != ROOT}
        self._paths: dict[str, tuple[str, ...]] = {}
        self.bounded = any(team.limit is not None for team in self.teams.values())
        self.quotas = any(team.quota is not None for team in self.teams.values())

    def path(self, team: str) -> tuple[str, ...]:
        """The team and all above it, without the root."""
        if team not in self._paths:
            names = [team]
            while (parent := self._parent(names[-1])) != ROOT and parent not in names:
                names.append(parent)
            self._paths[team] = tuple(names) if parent == ROOT else (team,)
        return self._paths[team]

    def children(self, used: Iterable[str]) -> dict[str, list[str]]:
        """Names under each name: of all teams with a record and of those in `used`, in order."""
        names = {name for team in (*self.teams, *used) for name in self.path(team) if name != ROOT}
        below: dict[str, list[str]] = {}
        for name in sorted(names):
            path = self.path(name)
            below.setdefault(path[1] if len(path) > 1 else ROOT, []).append(name)
        return below

    def weight(self, team: str) -> float:
        """Of its share among its siblings."""
        return self.teams[team].weight if team in self.teams else 1.0

    def _parent(self, team: str) -> str:
        return self.teams[team].parent if team in self.teams else ROOT
