"""`State`: a snapshot made ready for decisions, kept up to date by deltas."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.scheduling.claims import valid_claim
from orchestrator.scheduling.cluster import Node
from orchestrator.scheduling.decisions import Claim, Decisions, Preempt, Resize, Start
from orchestrator.scheduling.deltas import Delta, Gone, NodeGone, NodeIs, Pends, Runs, Teams
from orchestrator.scheduling.draft import Draft
from orchestrator.scheduling.jobs import Job, Running
from orchestrator.scheduling.room import Room
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.teams import Team, Usage
from orchestrator.scheduling.walk import walk
from orchestrator.spec.policy import Policy


class State:
    """Everything that a decision may depend on. Changed in place by who owns it alone; `copy` for all others.

    Attributes:
        nodes: by name.
        pending: jobs that wait, by identifier.
        running: jobs that hold slots, by identifier.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.pending: dict[str, Job] = {}
        self.running: dict[str, Running] = {}
        self.teams: tuple[Team, ...] = ()
        self.usage: tuple[Usage, ...] = ()
        self.max_workers: int | None = None
        self.slot_kind = "gpu"

    @classmethod
    def of(cls, snapshot: Snapshot) -> State:
        """The same, indexed."""
        state = cls()
        state.nodes = {node.name: node for node in snapshot.nodes}
        state.pending = {job.id: job for job in snapshot.pending}
        state.running = {running.job.id: running for running in snapshot.running}
        state.teams, state.usage = snapshot.teams, snapshot.usage
        state.max_workers, state.slot_kind = snapshot.max_workers, snapshot.slot_kind
        return state

    def snapshot(self, now: float) -> Snapshot:
        """The same as a plain value."""
        return Snapshot(
            now=now,
            nodes=tuple(self.nodes.values()),
            pending=tuple(self.pending.values()),
            running=tuple(self.running.values()),
            teams=self.teams,
            usage=self.usage,
            max_workers=self.max_workers,
            slot_kind=self.slot_kind,
        )

    def copy(self) -> State:
        """One that can be changed by itself."""
        other = State()
        other.__dict__.update(self.__dict__)
        other.nodes, other.pending, other.running = dict(self.nodes), dict(self.pending), dict(self.running)
        return other

    def apply(self, delta: Delta, now: float) -> None:
        """Take in what has happened."""
        match delta:
            case Pends(job):
                self.running.pop(job.id, None)
                self.pending[job.id] = job
            case Runs(running):
                self.pending.pop(running.job.id, None)
                self.running[running.job.id] = running
            case Gone(job):
                self.pending.pop(job, None)
                self.running.pop(job, None)
            case NodeIs(node):
                self.nodes[node.name] = node
            case NodeGone(name):
                self.nodes.pop(name, None)
            case Teams(teams, usage):
                self.teams, self.usage = teams, usage

    def idle(self) -> Room:
        """What nobody holds at this instant, claimed or not."""
        room = Room(self.nodes.values())
        for running in self.running.values():
            room.take(running.placement, running.job.demand)
        return room

    def later(self, now: float) -> Room:
        """What those who stay will not hold, and no claim wants."""
        later = Room(self.nodes.values())
        for running in self.running.values():
            later.take(running.placement if running.keeps is None else running.keeps, running.job.demand)
        for job in self.pending.values():
            if (claim := valid_claim(job, self.nodes, now)) is not None:
                later.take(claim, job.demand)
        return later

    def room(self, now: float) -> Room:
        """What is free for those who hold no claim: neither held now nor claimed for later."""
        return self.idle().least(self.later(now))

    def decide(self, policy: Policy, now: float) -> Decisions:
        """What to do now; changes nothing."""
        return walk(Draft(self, policy, now))

    def carry_out(self, decisions: Decisions, now: float) -> None:
        """As if all of it had been asked for; what is true otherwise is told by deltas."""
        for preempt in decisions.preempts:
            self._preempt(preempt)
        for resize in decisions.resizes:
            self._resize(resize, now)
        for claim in decisions.claims:
            self._claim(claim)
        for start in decisions.starts:
            self._start(start, now)

    def _preempt(self, preempt: Preempt) -> None:
        self.running[preempt.job] = replace(self.running[preempt.job], keeps=())

    def _resize(self, resize: Resize, now: float) -> None:
        running = self.running[resize.job]
        if resize.for_job is not None:
            self.running[resize.job] = replace(running, keeps=resize.placement)
            return
        job = replace(running.job, worked=running.worked(now), attained=running.attained(now))
        placement = resize.placement
        self.running[resize.job] = replace(running, job=job, placement=placement, counted=now, resized=now, keeps=None)

    def _claim(self, claim: Claim) -> None:
        self.pending[claim.job] = replace(self.pending[claim.job], claim=claim.placement)

    def _start(self, start: Start, now: float) -> None:
        job = replace(self.pending.pop(start.job), claim=None)
        self.running[job.id] = Running(job, start.placement, since=now, counted=now, resized=now)
