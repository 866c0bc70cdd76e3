"""How teams stand: what each holds with all under it, its share, its quota, its limit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from orchestrator.scheduling.state import State
from orchestrator.scheduling.teams import Team


class Standing(NamedTuple):
    """Of one team.

    Attributes:
        team: its record.
        holds: slots that its jobs and those of the teams under it hold, or have claimed.
        share: slots that it would hold if those who want some had them by weight.
    """

    team: Team
    holds: int
    share: float


class Tree:
    """The tree of teams with what they hold."""

    def __init__(self, state: State) -> None:
        self._teams = {team.name: team for team in state.teams}
        self._holds: dict[str, int] = {}
        self._wanting: set[str] = set()
        self._total = sum(node.slots for node in state.nodes.values() if node.state == "up")
        for running in state.running.values():
            placement = running.placement if running.keeps is None else running.keeps
            self._add(running.job.team, sum(workers for _, workers in placement) * running.job.demand.slots)
        for job in state.pending.values():
            claimed = sum(workers for _, workers in job.claim or ())
            self._add(job.team, claimed * job.demand.slots)

    def chain(self, name: str) -> list[Team]:
        """A team and those above it, lowest first."""
        found: list[Team] = []
        while name and all(team.name != name for team in found):
            found.append(self._teams.get(name, Team(name)))
            name = found[-1].parent
        return found

    def standing(self, name: str) -> Standing:
        """How one team stands."""
        team = self.chain(name)[0]
        return Standing(team, self._holds.get(name, 0), self._share(name))

    def full(self, name: str, slots: int) -> Standing | None:
        """The lowest team above (or itself) that would be over its limit with so many slots more."""
        for team in self.chain(name):
            if team.limit is not None and self._holds.get(team.name, 0) + slots > team.limit:
                return self.standing(team.name)
        return None

    def too_small(self, name: str, slots: int) -> Team | None:
        """The lowest team whose limit is below so many slots."""
        return next((t for t in self.chain(name) if t.limit is not None and t.limit < slots), None)

    def _add(self, name: str, slots: int) -> None:
        if name in self._wanting and slots == 0:
            return
        for team in self.chain(name):
            self._wanting.add(team.name)
            self._holds[team.name] = self._holds.get(team.name, 0) + slots

    def _share(self, name: str) -> float:
        share = float(self._total)
        for team in self.chain(name):
            weights = (sibling.weight for sibling in self._siblings(team.parent))
            share *= team.weight / (sum(weights) or 1.0)
        return share

    def _siblings(self, parent: str) -> Iterable[Team]:
        found = (self._teams.get(name, Team(name)) for name in sorted(self._wanting))
        return (team for team in found if team.parent == parent)


def remark(standing: Standing, by_share: bool) -> str:
    """What about its team keeps a job back: `; team video holds 24, 8 over its quota of 16`; empty where nothing."""
    team, holds = standing.team, standing.holds
    if team.quota is not None and holds > team.quota:
        return f"; team {team.name} holds {holds}, {holds - team.quota} over its quota of {team.quota}"
    if by_share and holds > standing.share:
        return f"; team {team.name} holds {holds}, {holds - standing.share:.4g} over its share of {standing.share:.4g}"
    return ""
