"""`Draft`: one decision while it is being made; the stages of a policy write on it."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

from orchestrator.scheduling.backfill.build import guard
from orchestrator.scheduling.backfill.guard import Reservation
from orchestrator.scheduling.cluster import Demand, Placement, without, workers_of
from orchestrator.scheduling.decisions import Claim, Decisions, Preempt, Resize, Start
from orchestrator.scheduling.ends import Freed
from orchestrator.scheduling.expected import expected_end_with, expected_seconds
from orchestrator.scheduling.jobs import Job, Running
from orchestrator.scheduling.orders.ranking import Key
from orchestrator.scheduling.room import Room, capacity
from orchestrator.scheduling.sharing.book import Book
from orchestrator.scheduling.upper_bound import upper_bound, upper_bound_end
from orchestrator.spec.policy import Policy

if TYPE_CHECKING:
    from orchestrator.scheduling.making_room.prospects import Prospects
    from orchestrator.scheduling.state import State


class Draft:
    """What is decided so far, and what is free after it.

    Attributes:
        state: as it is; never changed here.
        policy: what it is decided by.
        now: seconds since the epoch.
        room: free for jobs without a claim, after all that was decided so far.
        idle: what nobody held when the decision began: what claims are redeemed from.
        after: what nobody will hold or claim once all that was asked for is done.
        claimed: valid claims, by job.
        begun: what those who start, and who hold a claim, should give free again.
        stops_anybody: whether running jobs may be stopped for others: to take a quota back there has to be one.
        asks_anybody: whether they may be stopped or shrunk.
        first_blocked: rank of the first job that waits for room; once there is one with a reservation, of that one.
        reservations: of jobs that wait for room, in the order of the queue.
        prospects: of those who want room to be made; None: nobody did so far.
    """

    def __init__(self, state: State, policy: Policy, now: float) -> None:
        self.state = state
        self.policy = policy
        self.now = now
        self.waiting = state.queue(policy, now)
        self.ranking = self.waiting.ranking
        self.starts: list[Start] = []
        self.preempts: dict[str, Preempt] = {}
        self.resizes: dict[str, Resize] = {}
        self.claims: list[Claim] = []
        self.wakes: list[float] = []
        self.begun: list[Freed] = []
        self.reservations: list[Reservation] = []
        self.prospects: Prospects | None = None
        self.stops_anybody, self.asks_anybody = _asks(policy, quotas=state.tree.quotas)
        self.first_blocked: Key | None = None
        self.claimed = state.claims(now)
        self.idle, self.room = state.idle.copy() if self.claimed else state.idle, state.idle.copy()
        self.after = self.room
        self._later: Room | None = None
        if state.leaving or self.claimed:
            self._look_ahead()
        self.guard = guard(policy, len(state.nodes))
        self._served = 0
        self._offsets = self.ranking.offsets(state, now)

    def _look_ahead(self) -> None:
        """What is free once those who were asked to stop have done so, and who holds a claim has it."""
        self.after = self.state.staying.copy()
        for name, claim in self.claimed.items():
            self._begin(self.state.pending[name], claim)
            self.after.take(claim, self.state.pending[name].demand)
        self.room = self.idle.least(self.after)

    @property
    def later(self) -> Room:
        """`after`, without the nodes on which something is reserved: what is claimed comes from here."""
        if not self.reservations:
            return self.after
        if self._later is None:
            self._later = self.after.copy()
            for reservation in self.reservations:
                self._later.shut(reservation.placement)
        return self._later

    def rank(self, job: Job) -> Key:
        """Sorts jobs as the policy's order has it."""
        key = self.waiting.key(job)
        return (key[0] + self.offset_of(job), *key[1:]) if self._offsets else key

    def offset(self, group: str) -> float:
        """Of a group of jobs, to be added to the first of their keys."""
        return self._offsets.get(group, 0.0)

    def offset_of(self, job: Job) -> float:
        """Of its group."""
        return self._offsets.get(self.ranking.group(job), 0.0) if self._offsets else 0.0

    def rank_running(self, running: Running) -> Key:
        """Sorts running jobs among the waiting ones, as if they waited with what they have had by now."""
        key = self.ranking.running_key(running, self.now)
        return (key[0] + self.offset_of(running.job), *key[1:]) if self._offsets else key

    @cached_property
    def _wanted(self) -> int:
        claiming = (self.state.pending[name].demand for name in self.claimed)
        return self.waiting.wanted - sum(demand.workers_min * demand.slots for demand in claiming)

    @cached_property
    def book(self) -> Book:
        """What teams hold against their limits and quotas."""
        return Book(self.state, self.claimed)

    @property
    def wanted(self) -> int:
        """Slots of the fewest workers of all who wait, could start, and are not served yet."""
        return self._wanted - self._served

    def queue(self) -> list[Job]:
        """Waiting jobs, first to last."""
        return sorted(self.state.pending.values(), key=self.rank)

    def ends_by(self, job: Job, workers: int) -> float:
        """When a run that starts now with so many workers is over at the latest, where any window is ahead of it."""
        return self.now + upper_bound(job, workers) if self.room.layout.begins else math.inf

    def possible(self, job: Job) -> bool:
        """Whether its fewest workers fit on the nodes that are up, were all of them empty."""
        return self.widest(job) >= job.demand.workers_min and self.room.layout.possible(job.demand)

    def widest(self, job: Job) -> int:
        """The most workers that it may have."""
        most = job.demand.workers_max
        return most if self.state.max_workers is None else min(most, self.state.max_workers)

    def fewest(self, job: Job) -> int:
        """The fewest workers that the policy gives it now.

        A floor is a preference: it asks for no more than could ever be had, and for nothing of who is overdue.
        """
        elastic, demand = self.policy.elastic, job.demand
        least, most = demand.workers_min, demand.workers_max
        if elastic is None or least == most or self.overdue(job):
            return least
        could = min(self.widest(job), self.room.layout.shape(demand).holds, self.book.limit(job.team) // demand.slots)
        return max(least, int(min(could, elastic.fewest(least, most))))

    def overdue(self, job: Job) -> bool:
        """Whether it has waited so long that it goes before all others."""
        patience = self.policy.order.overdue
        return patience is not None and self.now >= job.waits_since + patience

    def place(self, job: Job, workers: int) -> Placement | None:
        """Where a gang of so many workers may start now; it hurts no reservation, claim or window of maintenance."""
        room = self.guard.free_until(self, self.now + expected_seconds(job, workers))
        return room.fit(job.demand, workers, self.now, self.ends_by(job, workers))

    def extend(self, running: Running, workers: int) -> Placement | None:
        """What a running job may hold if it grows to so many workers now: all that it holds, and more.

        The same holds for it as for `place`.
        """
        room, until = self._wide_room(running, workers)
        return room.extend(running.job.demand, running.placement, workers, self.now, until)

    def move(self, running: Running, workers: int) -> Placement | None:
        """Where it may lie with so many workers instead, while it holds what it has until it is there.

        Nodes that are wholly its own it keeps, if it can have the others beside them. The same holds as for `place`.
        """
        demand, held = running.job.demand, running.placement
        room, until = self._wide_room(running, workers)
        nodes = self.state.nodes
        whole = tuple(s for s in held if s.node in nodes and s.workers == capacity(nodes[s.node], demand))
        kept = whole if workers > max(self.room.layout.shape(demand).most, default=0) else ()
        with room.lent(held, demand):
            if not room.might(demand, workers):
                return None
            if kept:
                with room.lent(kept, demand, -1):
                    found = room.extend(demand, kept, workers, self.now, until)
                if found is not None:
                    return found
            return room.fit(demand, workers, self.now, until)

    def _wide_room(self, running: Running, workers: int) -> tuple[Room, float]:
        """What is free for a run that gets so many workers now, and until when it may hold that."""
        until = upper_bound_end(running, workers, self.now) if self.room.layout.begins else math.inf
        return self.guard.free_until(self, expected_end_with(running, workers, self.now)), until

    def start(self, job: Job, placement: Placement) -> None:
        """Start it there; what it takes is no longer free."""
        self.starts.append(Start(job.id, placement))
        self._serve(job, placement)
        end = self._begin(job, placement)
        self._take(placement, job.demand, end)
        if self.prospects is not None:
            self.prospects.taken(placement, job.demand)

    def redeem(self, job: Job) -> None:
        """Start it on what was freed for it, once all of that is free; `room` never held it."""
        claim = self.claimed[job.id]
        if self.idle.holds(claim, job.demand):
            self.starts.append(Start(job.id, claim))
            self.idle.take(claim, job.demand)
            self.room.cap(self.idle, claim)

    def preempt(self, running: Running, for_job: str | None, why: str) -> None:
        """Ask it to stop; what it holds is free for a claim."""
        self.preempts[running.job.id] = Preempt(running.job.id, for_job, why)
        self._give_later(running.placement if running.keeps is None else running.keeps, running.job.demand)

    def shrink(self, running: Running, placement: Placement, for_job: str, why: str) -> None:
        """Ask it to give up what is not in `placement`; that is free for a claim."""
        before = self.resizes.get(running.job.id)
        held = running.placement if before is None else before.placement
        self.resizes[running.job.id] = Resize(running.job.id, placement, for_job, why)
        self._give_later(without(held, placement), running.job.demand)

    def claim(self, job: Job, placement: Placement) -> None:
        """This, some of which is still to be freed, belongs to `job`."""
        self.claims.append(Claim(job.id, placement))
        self._serve(job, placement)
        end = self._begin(job, placement)
        self._give_later(placement, job.demand, -1)
        self.room.cap(self.after, placement)
        self.guard.claimed(self, placement, job.demand, end)

    def grow(self, running: Running, placement: Placement, why: str) -> None:
        """Give it all of `placement`, which is what `extend` or `move` said; what it leaves by that is free later."""
        self.resizes[running.job.id] = Resize(running.job.id, placement, None, why)
        more, less = without(placement, running.placement), without(running.placement, placement)
        self.book.add(running.job.team, workers_of(more) * running.job.demand.slots)
        self._take(more, running.job.demand, expected_end_with(running, workers_of(placement), self.now))
        if less:
            self._give_later(less, running.job.demand)

    def blocked(self, job: Job) -> None:
        """It waits for room, and has a reservation if there could be one for it."""
        if self.first_blocked is None or (self.reservations and self.reservations[-1].job == job.id):
            self.first_blocked = self.rank(job)

    def begin_again(self, now: float) -> bool:
        """What was decided is carried out; whether those who wait are still in the same order."""
        if self.ranking.offsets(self.state, now) != self._offsets:
            return False
        self.now = now
        self.starts.clear()
        self.begun.clear()
        return True

    def reserve(self, reservation: Reservation) -> None:
        """Keep it; what others claim does not touch its nodes."""
        if self._later is not None:
            self._later.shut(reservation.placement)
        self.reservations.append(reservation)
        self.wake(reservation.at)

    def _take(self, placement: Placement, demand: Demand, end: float) -> None:
        self.room.take(placement, demand)
        if self.after is not self.room:
            self._give_later(placement, demand, -1)
        elif self._later is not None:
            self._later.take(placement, demand)
        self.guard.taken(self, placement, demand, end)

    def _give_later(self, placement: Placement, demand: Demand, sign: int = 1) -> None:
        if self.after is self.room:
            self.after = self.room.copy()
        self.after.take(placement, demand, -sign)
        if self._later is not None:
            self._later.take(placement, demand, -sign)

    def _begin(self, job: Job, placement: Placement) -> float:
        """Remember when a job that starts, or will start soon, should be over."""
        end = self.now + expected_seconds(job, workers_of(placement))
        if end < math.inf:
            self.begun.append(Freed(end, job.sequence, placement, job.demand, job.id))
        return end

    def _serve(self, job: Job, placement: Placement) -> None:
        self._served += job.demand.workers_min * job.demand.slots
        if self.state.teams:
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
        edges = self.room.layout.edges
        if edges and (self.state.pending or self.policy.elastic is not None):
            self.wake(next((edge for edge in edges if edge > self.now), None))
        wakes = [at for at in self.wakes if at > self.now]
        if self.now < (change := self.waiting.next_change()) < math.inf:
            wakes.append(change)
        return Decisions(
            starts=tuple(self.starts),
            preempts=tuple(self.preempts.values()),
            resizes=tuple(self.resizes.values()),
            claims=tuple(self.claims),
            wake=min(wakes, default=None),
        )


def _asks(policy: Policy, *, quotas: bool) -> tuple[bool, bool]:
    """Whether running jobs may be stopped for others, and whether they may be stopped or shrunk."""
    rules, elastic = policy.preemption, policy.elastic
    stops = rules is not None and (rules.for_whom != "quota" or quotas)
    return stops, stops or (elastic is not None and elastic.shrink != "never")
