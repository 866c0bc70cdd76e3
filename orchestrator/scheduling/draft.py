"""`Draft`: one decision while it is being made; the stages of a policy write on it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.scheduling.cluster import Demand, Placement
from orchestrator.scheduling.decisions import Claim, Decisions, Preempt, Resize, Start
from orchestrator.scheduling.jobs import Job, Running
from orchestrator.scheduling.orders.build import ranking
from orchestrator.scheduling.orders.ranking import Key
from orchestrator.scheduling.room import Room
from orchestrator.spec.policy import Policy

if TYPE_CHECKING:
    from orchestrator.scheduling.state import State


class Draft:
    """What is decided so far, and what is free after it.

    Attributes:
        state: as it is; never changed here.
        policy: what it is decided by.
        now: seconds since the epoch.
        room: free for jobs without a claim, after all that was decided so far.
        idle: what nobody held when the decision began: what claims are redeemed from.
    """

    def __init__(self, state: State, policy: Policy, now: float) -> None:
        self.state = state
        self.policy = policy
        self.now = now
        self.room = state.room(now)
        self.idle = state.idle()
        self.ranking = ranking(policy.order)
        self.starts: list[Start] = []
        self.preempts: dict[str, Preempt] = {}
        self.resizes: dict[str, Resize] = {}
        self.claims: list[Claim] = []
        self.wakes: list[float] = []
        self._possible: dict[Demand, bool] = {}
        self._offsets = self.ranking.offsets(state, now)

    def rank(self, job: Job) -> Key:
        """Sorts jobs as the policy's order has it."""
        first, *rest = self.ranking.key(job, self.now)
        return (first + self._offsets.get(self.ranking.group(job), 0.0), *rest)

    def queue(self) -> list[Job]:
        """Waiting jobs, first to last."""
        return sorted(self.state.pending.values(), key=self.rank)

    def ends_by(self, job: Job) -> float:
        """When a run that starts now is over for certain: by its limit; infinite where it has none."""
        return math.inf if job.limit is None else self.now + job.limit

    def possible(self, job: Job) -> bool:
        """Whether its fewest workers fit on the nodes that are up, were all of them empty."""
        demand = job.demand
        if demand not in self._possible:
            empty = Room(replace(node, windows=()) for node in self.state.nodes.values())
            self._possible[demand] = empty.fit(demand, demand.workers_min, self.now, self.now) is not None
        return self._possible[demand]

    def start(self, job: Job, placement: Placement) -> None:
        """Start it there; what it takes is no longer free."""
        self.room.take(placement, job.demand)
        self.starts.append(Start(job.id, placement))

    def wake(self, at: float | None) -> None:
        """Something changes by itself at this time."""
        if at is not None and self.now < at < math.inf:
            self.wakes.append(at)

    def staying(self) -> list[Running]:
        """Running jobs that were not asked to stop, neither before nor in this decision."""
        return [r for r in self.state.running.values() if not r.stopping and r.job.id not in self.preempts]

    def decisions(self) -> Decisions:
        """All of it."""
        return Decisions(
            starts=tuple(self.starts),
            preempts=tuple(self.preempts.values()),
            resizes=tuple(self.resizes.values()),
            claims=tuple(self.claims),
            wake=min(self.wakes, default=None),
        )
