"""What teams hold against their limits and quotas, kept while a decision is made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from orchestrator.scheduling.cluster import Placement, workers_of

if TYPE_CHECKING:
    from orchestrator.scheduling.state import State


class Book:
    """Slots that each team and all under it hold, shrinking and stopping jobs in full, and valid claims.

    A quota is what a team may always have: what it does not use others may borrow, and give back when it asks.
    """

    def __init__(self, state: State, claimed: Mapping[str, Placement]) -> None:
        self.tree = state.tree
        self.held: dict[str, int] = {}
        self.stay: dict[str, int] = {}
        self.kept: set[str] = set()
        if self.tree.bounded or self.tree.quotas:
            self._count(state, claimed)

    def add(self, team: str, slots: int) -> None:
        """The team holds so many more from now on."""
        if self.tree.bounded or self.tree.quotas:
            for name in self.tree.path(team):
                self.held[name] = self.held.get(name, 0) + slots
                self.stay[name] = self.stay.get(name, 0) + slots

    def give_up(self, team: str, slots: int) -> None:
        """The team will hold so many less, once those who were asked have done it; negative: it will not."""
        if self.tree.quotas:
            for name in self.tree.path(team):
                self.stay[name] = self.stay.get(name, 0) - slots

    def allows(self, team: str, slots: int) -> bool:
        """Whether so many more break no limit, of the team or of one above it."""
        return slots <= self.headroom(team)

    def headroom(self, team: str) -> float:
        """Slots that the team may still take before it, or one above it, is at its limit."""
        if not self.tree.bounded:
            return math.inf
        if self.kept and not self.kept.isdisjoint(self.tree.path(team)):
            return 0
        return min((limit - self.held.get(name, 0) for name, limit in self._limits(team)), default=math.inf)

    def limit(self, team: str) -> float:
        """Slots that a team may ever hold, by its own limit and those above it."""
        return min((limit for _, limit in self._limits(team)), default=math.inf) if self.tree.bounded else math.inf

    def keep(self, team: str, slots: int) -> None:
        """What is left of the limits that so many more would break is kept for a job that waits for it."""
        if slots <= self.limit(team):
            self.kept.update(name for name, limit in self._limits(team) if self.held.get(name, 0) + slots > limit)

    def _limits(self, team: str) -> Iterator[tuple[str, int]]:
        for name in self.tree.path(team):
            if name in self.tree.teams and (limit := self.tree.teams[name].limit) is not None:
                yield name, limit

    def entitled(self, team: str, slots: int) -> tuple[str, ...]:
        """The team, or those above it, that have a quota and stay within it with so many more."""
        return tuple(
            name
            for name in self.tree.path(team)
            if (quota := self._quota(name)) is not None and self.stay.get(name, 0) + slots <= quota
        )

    def lends(self, owners: tuple[str, ...], team: str) -> bool:
        """Whether one of these owners of quotas may ask what a team holds back: it is not under that owner."""
        return any(owner not in self.tree.path(team) for owner in owners)

    def spare(self, team: str, for_team: str) -> float:
        """Slots that a team can do without for a job of another one: no quota that the other is outside of breaks."""
        if not self.tree.quotas:
            return math.inf
        quotas = ((name, self._quota(name)) for name in self._apart(team, for_team))
        return min((self.stay.get(name, 0) - quota for name, quota in quotas if quota is not None), default=math.inf)

    def _apart(self, team: str, other: str) -> tuple[str, ...]:
        """The team and those above it that are not above the other one as well."""
        shared = self.tree.path(other)
        return tuple(name for name in self.tree.path(team) if name not in shared)

    def _quota(self, team: str) -> int | None:
        record = self.tree.teams.get(team)
        return None if record is None else record.quota

    def _count(self, state: State, claimed: Mapping[str, Placement]) -> None:
        for run in state.running.values():
            self.add(run.job.team, run.slots)
            self.give_up(run.job.team, run.slots - run.workers * run.job.demand.slots)
        for name, claim in claimed.items():
            job = state.pending[name]
            self.add(job.team, workers_of(claim) * job.demand.slots)
