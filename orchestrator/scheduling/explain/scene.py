"""`Scene`: what a decision does and leaves, computed once for all questions about one snapshot."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from orchestrator.scheduling.cluster import Demand, Node
from orchestrator.scheduling.decisions import Start
from orchestrator.scheduling.draft import Draft
from orchestrator.scheduling.explain.ends import Ends
from orchestrator.scheduling.explain.floor import Floor
from orchestrator.scheduling.explain.standing import Tree
from orchestrator.scheduling.hurdles import hurdle
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.spec.policy import Policy


class Scene:
    """A snapshot, what is decided for it, and how things stand once that is carried out.

    Attributes:
        now: seconds since the epoch.
        policy: what it is decided by.
        before: as it is.
        after: as it will be.
        starts: by job.
        waiting: jobs that go on waiting, first to last.
    """

    def __init__(self, snapshot: Snapshot, policy: Policy) -> None:
        self.now = snapshot.now
        self.policy = policy
        self.before = State.of(snapshot)
        self.decisions = self.before.decide(policy, self.now)
        self.after = self.before.copy()
        self.after.carry_out(self.decisions, self.now)
        self.starts: dict[str, Start] = {start.job: start for start in self.decisions.starts}
        queue = Draft(self.before, policy, self.now).queue()
        self.waiting: list[Job] = [self.after.pending[job.id] for job in queue if job.id in self.after.pending]

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
    def ends(self) -> Ends:
        """When running jobs should be over."""
        return Ends(self.floor, self.after.running.values(), self.now)

    @cached_property
    def teams(self) -> Tree:
        """How teams stand."""
        return Tree(self.after)

    @cached_property
    def head(self) -> Job | None:
        """The first one that waits for room: what could run, if there were enough."""
        return next((job for job in self.waiting if self.may_run(job)), None)

    def may_run(self, job: Job) -> bool:
        """Whether nothing but room keeps it, and the nodes that are up could hold it."""
        return hurdle(job, self.now) is None and self._possible(job.demand)

    def _possible(self, demand: Demand) -> bool:
        most = self.after.max_workers
        return (most is None or demand.workers_min <= most) and self._up.count(demand, 0.0).enough

    @cached_property
    def _up(self) -> Floor:
        return self.floor.emptied(replace(node, windows=()) for node in self.floor.nodes.values())


def _working(node: Node) -> Node:
    return replace(node, state="up", windows=())
