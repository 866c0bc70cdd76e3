"""How teams stand: what each holds with all under it, its share, its quota, its limit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from orchestrator.scheduling.cluster import workers_of
from orchestrator.scheduling.state import State
from orchestrator.scheduling.teams import Team

_SHOWN = 3


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


class Standings:
    """What each team holds, with all under it: shrinking and stopping jobs in full, and what is claimed."""

    def __init__(self, state: State) -> None:
        self._tree = state.tree
        self._holds: dict[str, int] = {}
        self._total = sum(node.slots for node in state.nodes.values() if node.state == "up")
        for running in state.running.values():
            self._add(running.job.team, running.slots)
        for job in state.pending.values():
            if job.claim is not None:
                self._add(job.team, workers_of(job.claim) * job.demand.slots)
        self._wanting = {job.team for job in state.pending.values()}

    def chain(self, name: str) -> list[Team]:
        """A team and those above it, lowest first."""
        return [self._tree.teams.get(one, Team(one)) for one in self._tree.path(name)]

    def of(self, name: str) -> Standing:
        """How one team stands."""
        return Standing(self.chain(name)[0], self.holds(name), self._share(name))

    @property
    def bounded(self) -> bool:
        """Whether any team has a limit."""
        return self._tree.bounded

    def holds(self, name: str) -> int:
        """Slots that a team holds, as `Standing` has it."""
        return self._holds.get(name, 0)

    def full(self, name: str, slots: int) -> Standing | None:
        """The lowest of the team and those above it that would be over its limit with so many slots more."""
        if not self.bounded:
            return None
        over = (t for t in self.chain(name) if t.limit is not None and self.holds(t.name) + slots > t.limit)
        return next((self.of(team.name) for team in over), None)

    def too_small(self, name: str, slots: int) -> Team | None:
        """The lowest of them whose limit is below so many slots."""
        return next((t for t in self.chain(name) if t.limit is not None and t.limit < slots), None)

    def covered(self, name: str) -> list[Standing]:
        """Teams of which this one is no part that hold something, all of it within their quota."""
        own = {team.name for team in self.chain(name)}
        others = [self.of(other) for other in sorted(self._tree.teams) if other not in own]
        return [s for s in others if s.team.quota is not None and 0 < s.holds <= s.team.quota]

    def _add(self, name: str, slots: int) -> None:
        for team in self._tree.path(name):
            self._holds[team] = self._holds.get(team, 0) + slots

    @cached_property
    def _below(self) -> dict[str, list[str]]:
        return self._tree.children({*self._holds, *self._wanting})

    def _share(self, name: str) -> float:
        """By weight, among the teams that have jobs or a record."""
        share = float(self._total)
        for one in self._tree.path(name):
            siblings = next((names for names in self._below.values() if one in names), [one])
            share *= self._tree.weight(one) / (sum(map(self._tree.weight, siblings)) or 1.0)
        return share


def remark(standing: Standing, by_share: bool) -> str:
    """What about its team counts for a job: `; team video holds 24, 8 over its quota of 16`; empty where nothing."""
    team, holds = standing.team, standing.holds
    if team.quota is not None and holds < team.quota:
        return f"; team {team.name} holds {holds} of its quota of {team.quota}"
    if team.quota is not None and holds > team.quota:
        return f"; team {team.name} holds {holds}, {holds - team.quota} over its quota of {team.quota}"
    if by_share and holds > standing.share:
        return f"; team {team.name} holds {holds}, {holds - standing.share:.4g} over its share of {standing.share:.4g}"
    return ""


def protection(covered: Sequence[Standing]) -> str:
    """Whom nobody of another team can have stopped; empty where nobody is."""
    said = [f"team {s.team.name} holds {s.holds} within its quota of {s.team.quota}" for s in covered[:_SHOWN]]
    more = f" and {len(covered) - _SHOWN} teams more" if len(covered) > _SHOWN else ""
    return f"; {', '.join(said)}{more}: nobody of another team has them stopped" if said else ""
