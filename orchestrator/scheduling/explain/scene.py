"""`Scene`: what a decision does and leaves, computed once for all questions about one snapshot."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from functools import cached_property
from types import MappingProxyType

from orchestrator.scheduling.backfill.guard import Reservation
from orchestrator.scheduling.cluster import Demand, Node, Placement, workers_of
from orchestrator.scheduling.expected import expected_end, expected_seconds
from orchestrator.scheduling.explain.ends import Ends, RunEnd, by_limit, likely_end
from orchestrator.scheduling.explain.floor import Floor
from orchestrator.scheduling.explain.standing import Standings
from orchestrator.scheduling.explain.words import Takes, names
from orchestrator.scheduling.hurdles import hurdle
from orchestrator.scheduling.jobs import Job, Running
from orchestrator.scheduling.state import State
from orchestrator.scheduling.walk import walk
from orchestrator.spec.policy import Policy

NOTHING: Mapping[str, float] = MappingProxyType({})


class Scene:
    """A state, what is decided for it, and how things stand once that is carried out.

    Args:
        state: as it is; not changed.
        policy: what it is decided by.
        now: seconds since the epoch.
        told: when running jobs should be over, where more is known than the state says; nothing is decided by it.

    Attributes:
        now: seconds since the epoch.
        policy: what it is decided by.
        told: when running jobs should be over, by job.
        before: as it is.
        after: as it will be.
        reservations: by job, in the order of the queue.
        waiting: jobs that go on waiting, first to last.
    """

    def __init__(self, state: State, policy: Policy, now: float, told: Mapping[str, float] = NOTHING) -> None:
        self.now = now
        self.told = told
        self.policy = policy
        self.before = state
        self._draft = draft = state.draft(policy, now)
        self.decisions = walk(draft)
        self.reservations = {reservation.job: reservation for reservation in draft.reservations}
        self.after = self.before.copy()
        self.after.carry_out(self.decisions, self.now)
        self.waiting: list[Job] = sorted(self.after.pending.values(), key=draft.rank)

    @property
    def slot_kind(self) -> str:
        """`gpu` or `cpu`."""
        return self.after.slot_kind

    @cached_property
    def floor(self) -> Floor:
        """What is free."""
        return Floor.of(self.after, self.now)

    @cached_property
    def empty(self) -> Floor:
        """The nodes as they are, were nobody on them and no claim."""
        return self.floor.emptied(self.floor.nodes.values())

    @cached_property
    def whole(self) -> Floor:
        """The nodes, were all of them up and no maintenance planned."""
        return self.floor.emptied(_working(node) for node in self.floor.nodes.values())

    @cached_property
    def claims(self) -> dict[str, Placement]:
        """Claims that count, by job."""
        return self.after.claims(self.now)

    @cached_property
    def ends(self) -> Ends:
        """When running jobs should be over."""
        claiming = [job for job in self.waiting if job.id in self.claims]
        return Ends(self.floor, map(self.end_of, self.after.running.values()), claiming, self.now)

    def end_of(self, running: Running) -> RunEnd:
        """When a running job should be over: as is told of it, else by our estimate, by its limit at the latest."""
        at = self.told.get(running.job.id)
        if at is not None and at > self.now:
            return RunEnd(running, at)
        return RunEnd(running, likely_end(running, self.now), by_limit(running.job))

    def goes_by_limits(self, reserved: Reservation) -> bool:
        """Whether what is planned to be over last before a reservation, where it is, is so by its time limit."""
        running = (
            (r.job, r.placement, expected_end(r, self.now)) for r in self.after.running.values() if not r.stopping
        )
        planned = (self._planned(other) for other in self.reservations.values())
        nodes = {name for name, _ in reserved.placement}
        over = [
            (end, job.limit is not None)
            for job, placement, end in (*running, *planned)
            if end <= reserved.at and any(name in nodes for name, _ in placement)
        ]
        return bool(over) and max(over)[1]

    def _planned(self, reserved: Reservation) -> tuple[Job, Placement, float]:
        job = self.after.pending[reserved.job]
        return job, reserved.placement, reserved.at + expected_seconds(job, workers_of(reserved.placement))

    @cached_property
    def teams(self) -> Standings:
        """How teams stand."""
        return Standings(self.after)

    @cached_property
    def kept(self) -> str:
        """What is idle, or being freed, and kept for jobs that it is freed for: `; 4 are kept for j-1`."""
        owners = [job for job in self.waiting if job.claim is not None]
        slots = sum(workers_of(job.claim or ()) * job.demand.slots for job in owners)
        return f"; {slots} are kept for {names([job.id for job in owners])}" if owners else ""

    def asked(self, job: Job) -> Demand:
        """What the policy gives it at least: where it has a floor, that may be more than the fewest workers."""
        fewest = self._draft.fewest(job)
        return job.demand if fewest == job.demand.workers_min else replace(job.demand, workers_min=fewest)

    def question(self, job: Job) -> Hashable:
        """The same for jobs of which the same is asked, and which may take as long."""
        alike = self._draft.waiting.alike(job)
        return job.demand if alike is None else alike, self._draft.fewest(job), self.takes(job)

    def horizon(self, takes: Takes | None) -> float:
        """Until when a run that starts now may hold its place; 0 where no maintenance is ahead."""
        return 0.0 if takes is None else self.floor.horizon(takes.seconds)

    def takes(self, job: Job) -> Takes | None:
        """How long it may take with that; None where no maintenance is ahead, so that it does not count."""
        return Takes.of(job, self.asked(job).workers_min) if self.floor.windows else None

    @cached_property
    def head(self) -> Job | None:
        """The first one that waits for room: what could run, if there were enough."""
        return next((job for job in self.waiting if self.may_run(job)), None)

    def may_run(self, job: Job) -> bool:
        """Whether nothing but room keeps it: it has no hurdle, the nodes that are up could hold it, its team allows."""
        demand = self.asked(job)
        if hurdle(job, self.now) is not None or job.claim is not None or not self._possible(demand):
            return False
        return self.teams.full(job.team, demand.workers_min * demand.slots) is None

    def _possible(self, demand: Demand) -> bool:
        most = self.after.max_workers
        return (most is None or demand.workers_min <= most) and self._up.count(demand, 0.0).enough

    @cached_property
    def _up(self) -> Floor:
        if not self.floor.windows:
            return self.empty
        return self.floor.emptied(replace(node, windows=()) for node in self.floor.nodes.values())


def _working(node: Node) -> Node:
    return replace(node, state="up", windows=())
