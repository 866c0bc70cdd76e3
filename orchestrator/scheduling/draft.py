"""`Draft`: one decision while it is being made; the stages of a policy write on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from orchestrator.scheduling.cluster import Demand, Placement, without, workers_of
from orchestrator.scheduling.decisions import Claim, Decisions, Preempt, Resize, Start
from orchestrator.scheduling.givers import Givers
from orchestrator.scheduling.hurdles import hurdle
from orchestrator.scheduling.jobs import Job, Running
from orchestrator.scheduling.orders.build import ranking
from orchestrator.scheduling.orders.ranking import Key
from orchestrator.scheduling.room import Room
from orchestrator.scheduling.sharing.book import Book
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
        idle: what nobody holds, less what starts: what claims are redeemed from.
        later: what nobody will hold or claim once all that was asked for is done: what is claimed comes from here.
    """

    def __init__(self, state: State, policy: Policy, now: float) -> None:
        self.state = state
        self.policy = policy
        self.now = now
        self.idle = state.idle()
        self.later = state.later(now)
        self.room = self.idle.least(self.later)
        self.ranking = ranking(policy.order)
        self.starts: list[Start] = []
        self.preempts: dict[str, Preempt] = {}
        self.resizes: dict[str, Resize] = {}
        self.claims: list[Claim] = []
        self.wakes: list[float] = []
        self._served = 0
        self._possible: dict[Demand, bool] = {}
        self._offsets = self.ranking.offsets(state, now)

    def rank(self, job: Job) -> Key:
        """Sorts jobs as the policy's order has it."""
        first, *rest = self.ranking.key(job, self.now)
        return (first + self._offsets.get(self.ranking.group(job), 0.0), *rest)

    def rank_running(self, running: Running) -> Key:
        """Sorts running jobs among the waiting ones, as if they waited with what they have had by now."""
        first, *rest = self.ranking.running_key(running, self.now)
        return (first + self._offsets.get(self.ranking.group(running.job), 0.0), *rest)

    @cached_property
    def book(self) -> Book:
        """What teams hold against their limits and quotas."""
        return Book(self.state)

    @property
    def wanted(self) -> int:
        """Slots of the fewest workers of all who wait, could start, and are not served yet."""
        return self._waiting - self._served

    @cached_property
    def _waiting(self) -> int:
        waiting = (job for job in self.state.pending.values() if job.claim is None and hurdle(job, self.now) is None)
        return sum(job.demand.workers_min * job.demand.slots for job in waiting)

    @cached_property
    def givers(self) -> Givers:
        """Running jobs that could give something up; first asked for before anything was asked of them."""
        running = self.state.running.values()
        return Givers(running, self.policy, self.rank_running, self.ranking.sinks, self.now)

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

    def widest(self, job: Job) -> int:
        """The most workers that it may have."""
        most = job.demand.workers_max
        return most if self.state.max_workers is None else min(most, self.state.max_workers)

    def place(self, job: Job, workers: int) -> Placement | None:
        """Where a gang of so many workers may start now; it hurts no reservation, claim or window of maintenance."""
        return self.room.fit(job.demand, workers, self.now, self.ends_by(job))

    def extend(self, running: Running, workers: int) -> Placement | None:
        """What a running job may hold if it grows to so many workers now: all that it holds, and more.

        The same holds for it as for `place`.
        """
        limit = running.job.limit
        until = math.inf if limit is None else running.since + limit
        return self.room.extend(running.job.demand, running.placement, workers, self.now, until)

    def place_after(self, job: Job, workers: int, freed: Sequence[tuple[Placement, Demand]]) -> Placement | None:
        """What a waiting job could claim if all of `freed` were given up by those who run; changes nothing.

        What others claim, what is reserved, and windows of maintenance are respected.
        """
        later = self.later.copy()
        for placement, demand in freed:
            later.give(placement, demand)
        return later.fit(job.demand, workers, self.now, self.ends_by(job))

    def start(self, job: Job, placement: Placement) -> None:
        """Start it there; what it takes is no longer free."""
        self._serve(job, placement)
        self.starts.append(Start(job.id, placement))
        self.idle.take(placement, job.demand)
        self.later.take(placement, job.demand)
        self.room.take(placement, job.demand)

    def preempt(self, running: Running, for_job: str, why: str) -> None:
        """Ask it to stop; what it holds is free for a claim."""
        self.preempts[running.job.id] = Preempt(running.job.id, for_job, why)
        kept = running.placement if running.keeps is None else running.keeps
        self.later.give(kept, running.job.demand)

    def shrink(self, running: Running, placement: Placement, for_job: str, why: str) -> None:
        """Ask it to give up what is not in `placement`; that is free for a claim."""
        self.resizes[running.job.id] = Resize(running.job.id, placement, for_job, why)
        self.later.give(without(running.placement, placement), running.job.demand)

    def claim(self, job: Job, placement: Placement) -> None:
        """This, some of which is still to be freed, belongs to `job`."""
        self.claims.append(Claim(job.id, placement))
        self._serve(job, placement)
        self.later.take(placement, job.demand)
        self.room = self.idle.least(self.later)

    def grow(self, running: Running, placement: Placement, why: str) -> None:
        """Give it all of `placement`, which is what `extend` said."""
        self.resizes[running.job.id] = Resize(running.job.id, placement, None, why)
        more = without(placement, running.placement)
        self.book.add(running.job.team, workers_of(more) * running.job.demand.slots)
        for room in (self.idle, self.later, self.room):
            room.take(more, running.job.demand)

    def _serve(self, job: Job, placement: Placement) -> None:
        self._served += job.demand.workers_min * job.demand.slots
        self.book.add(job.team, workers_of(placement) * job.demand.slots)

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
