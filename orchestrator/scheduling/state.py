"""`State`: a snapshot made ready for decisions, kept up to date by deltas."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from orchestrator.scheduling.claims import valid_claims
from orchestrator.scheduling.cluster import Node, Placement, joined
from orchestrator.scheduling.decisions import Claim, Decisions, Preempt, Resize, Start
from orchestrator.scheduling.deltas import Delta, Gone, NodeGone, NodeIs, Pends, Runs, Teams
from orchestrator.scheduling.draft import Draft
from orchestrator.scheduling.ends import Ends
from orchestrator.scheduling.jobs import Job, Running
from orchestrator.scheduling.layout import Layout
from orchestrator.scheduling.orders.build import ranking
from orchestrator.scheduling.queue import Apart, Queue
from orchestrator.scheduling.room import Room
from orchestrator.scheduling.sharing.tree import Tree
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.teams import Team, Usage
from orchestrator.scheduling.walk import resume, settles, walk
from orchestrator.spec.policy import Order, Policy


@dataclass(slots=True)
class _Last:
    """The last decision, if a walk can go on from it; its state alone writes on it.

    Attributes:
        draft: as the walk left it.
        decisions: what came of it.
        version: of the state for which it holds.
        carried_out: whether the state is what it decided.
        until: when something passes that it rests on.
    """

    draft: Draft
    decisions: Decisions
    version: int
    carried_out: bool = False
    until: float = 0.0


class State:
    """Everything that a decision may depend on. Changed in place by who owns it alone; `copy` for all others.

    What follows from it (what is free, the queue under the order last asked for, expected ends) is kept as things
    happen, and never counts as a part of it.

    Attributes:
        nodes: by name.
        pending: jobs that wait, by identifier.
        running: jobs that hold slots, by identifier.
        tree: of the teams.
        queued: how many jobs of each team wait.
        claimants: waiting jobs that hold a claim, valid or not.
        leaving: running jobs that were asked to stop or to shrink.
        idle: what nobody holds at this instant, claimed or not.
        staying: what those who stay will not hold.
        ends: running jobs by when they should be over.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.pending: dict[str, Job] = {}
        self.running: dict[str, Running] = {}
        self.teams: tuple[Team, ...] = ()
        self.tree = Tree(())
        self.usage: tuple[Usage, ...] = ()
        self.max_workers: int | None = None
        self.slot_kind = "gpu"
        self.queued: Counter[str] = Counter()
        self.claimants: set[str] = set()
        self.leaving: set[str] = set()
        self.ends = Ends((), 0.0)
        self._order: Order | None = None
        self._queue: Queue | None = None
        self._version = 0
        self._last: _Last | None = None
        self._news: list[Job] = []
        self._measure()

    @classmethod
    def of(cls, snapshot: Snapshot) -> State:
        """The same, indexed."""
        state = cls()
        state.nodes = {node.name: node for node in snapshot.nodes}
        state.pending = {job.id: job for job in snapshot.pending}
        state.queued = Counter(job.team for job in state.pending.values())
        state.running = {running.job.id: running for running in snapshot.running}
        state.teams, state.usage, state.tree = snapshot.teams, snapshot.usage, Tree(snapshot.teams)
        state.max_workers, state.slot_kind = snapshot.max_workers, snapshot.slot_kind
        state.claimants = {job.id for job in snapshot.pending if job.claim is not None}
        state.leaving = {running.job.id for running in snapshot.running if running.keeps is not None}
        state.ends = Ends(state.running.values(), snapshot.now)
        state._measure()
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
        other = State.__new__(State)
        other.__dict__.update(self.__dict__)
        other.nodes, other.pending, other.running = self.nodes.copy(), self.pending.copy(), self.running.copy()
        other.claimants, other.leaving, other.queued = self.claimants.copy(), self.leaving.copy(), self.queued.copy()
        other.idle, other.staying = self.idle.copy(), self.staying.copy()
        other.ends = self.ends.copy()
        other._last, other._news = None, []
        other._queue = None if self._queue is None else self._queue.copy()
        return other

    def queue(self, policy: Policy, now: float) -> Queue:
        """The waiting jobs under a policy's order; that of the last decision is kept."""
        order, queue = policy.order, self._queue
        apart = Apart(self.tree.bounded or self.tree.quotas, policy.preemption is not None)
        same = self._order is order or self._order == order
        if queue is None or not same or queue.apart != apart or now < queue.now:
            self._order, queue = order, Queue(ranking(order), self.pending.values(), now, apart=apart)
            self._queue = queue
        queue.pass_to(now)
        return queue

    def claims(self, now: float) -> dict[str, Placement]:
        """Claims that count, by job, in the order of submission."""
        if not self.claimants:
            return {}
        return valid_claims((self.pending[name] for name in self.claimants), self.nodes, self.staying, now)

    def decide(self, policy: Policy, now: float) -> Decisions:
        """What to do now; changes nothing that counts."""
        if now >= self.ends.now and (decisions := self._resume(policy, now)) is not None:
            return decisions
        draft = self.draft(policy, now)
        decisions = walk(draft)
        self._remember(draft, decisions)
        return decisions

    def draft(self, policy: Policy, now: float) -> Draft:
        """A decision to be made."""
        if now < self.ends.now:
            self.ends = Ends(self.running.values(), now)
        self.ends.pass_to(now)
        return Draft(self, policy, now)

    def _resume(self, policy: Policy, now: float) -> Decisions | None:
        """What is decided if nothing has happened since the last decision was carried out but that jobs came."""
        last = self._last
        if last is None or last.version != self._version or not last.carried_out:
            return None
        draft = last.draft
        if draft.policy is not policy or draft.waiting is not self._queue:
            return None
        if not draft.now <= now < min(last.until, draft.waiting.next_change()):  # newcomers change as time passes too
            return None
        decisions = resume(draft, self._news, now)
        if decisions is not None:
            self._remember(draft, decisions)
        return decisions

    def _remember(self, draft: Draft, decisions: Decisions) -> None:
        self._last = _Last(draft, decisions, self._version) if settles(draft) else None
        self._news = []
        if not decisions:
            self._carried_out(decisions)

    def _carried_out(self, decisions: Decisions) -> None:
        last = self._last
        if last is not None and last.decisions is decisions:
            last.version, last.carried_out = self._version, True
            last.until = min(self.ends.first(), last.draft.waiting.next_change())

    # --- what happens ----------------------------------------------------------------------------------------------

    def apply(self, delta: Delta, now: float) -> None:
        """Take in what has happened."""
        match delta:
            case Pends(job):
                self._stops(job.id)
                self._waits(job, now)
            case Runs(running):
                self._starts_or_goes(running.job.id)
                self._runs(running, now)
            case Gone(job):
                self._starts_or_goes(job)
                self._stops(job)
            case NodeIs(node):
                if self.nodes.get(node.name) != node:
                    self.nodes[node.name] = node
                    self._measure()
            case NodeGone(name):
                if self.nodes.pop(name, None) is not None:
                    self._measure()
            case Teams(teams, usage):
                if self.teams != teams:
                    self._version += 1
                    self.teams, self.tree = teams, Tree(teams)
                self.usage = usage  # it changes the order alone, which a walk that goes on looks at anew

    def carry_out(self, decisions: Decisions, now: float) -> None:
        """As if all of it had been asked for; what is true otherwise is told by deltas."""
        untouched = self._last is not None and self._last.version == self._version and not self._news
        for preempt in decisions.preempts:
            self._preempt(preempt, now)
        for resize in decisions.resizes:
            self._resize(resize, now)
        for claim in decisions.claims:
            self._claim(claim, now)
        for start in decisions.starts:
            self._start(start, now)
        if untouched:
            self._carried_out(decisions)

    def _preempt(self, preempt: Preempt, now: float) -> None:
        self._runs(replace(self.running[preempt.job], keeps=()), now)

    def _resize(self, resize: Resize, now: float) -> None:
        running, placement = self.running[resize.job], resize.placement
        if resize.for_job is not None:
            self._runs(replace(running, keeps=placement), now)
            return
        job = replace(running.job, worked=running.worked(now), attained=running.attained(now))
        held = joined(running.placement, placement)
        keeps = None if held == placement else placement
        self._runs(replace(running, job=job, placement=held, counted=now, resized=now, keeps=keeps), now)

    def _claim(self, claim: Claim, now: float) -> None:
        self._waits(replace(self.pending[claim.job], claim=claim.placement), now)

    def _start(self, start: Start, now: float) -> None:
        job = self.pending[start.job]
        if job.claim is not None:
            job = replace(job, claim=None)
        self._starts_or_goes(start.job)
        self._runs(Running(job, start.placement, since=now, counted=now, resized=now), now)

    # --- what is kept ----------------------------------------------------------------------------------------------

    def _measure(self) -> None:
        """All that is free, from nothing."""
        self._version += 1
        self.idle = Room.on(Layout(self.nodes.values()))
        for running in self.running.values():
            self.idle.take(running.placement, running.job.demand)
        self.staying = self.idle.copy()
        for name in self.leaving:
            running = self.running[name]
            self.staying.give(running.placement, running.job.demand)
            self.staying.take(running.keeps or (), running.job.demand)

    def _waits(self, job: Job, now: float) -> None:
        if job.id in self.pending or job.claim is not None:
            self._version += 1
        else:
            self._news.append(job)
        if (before := self.pending.get(job.id)) is not None:
            self._leaves(before.team)
        self.queued[job.team] += 1
        self.pending[job.id] = job
        if job.claim is None:
            self.claimants.discard(job.id)
        else:
            self.claimants.add(job.id)
        if self._queue is not None:
            if self._queue.now < now:
                self._queue.pass_to(now)
            self._queue.put(job)

    def _starts_or_goes(self, job: str) -> None:
        """It waits no longer."""
        if (waited := self.pending.pop(job, None)) is not None:
            self._version += 1
            self._leaves(waited.team)
            self.claimants.discard(job)
            if self._queue is not None:
                self._queue.drop(job)

    def _leaves(self, team: str) -> None:
        """One job less of it waits."""
        self.queued[team] -= 1
        if not self.queued[team]:
            del self.queued[team]

    def _runs(self, running: Running, now: float) -> None:
        self._stops(running.job.id)
        demand, keeps = running.job.demand, running.keeps
        self._version += 1
        self.running[running.job.id] = running
        self.idle.take(running.placement, demand)
        self.staying.take(running.placement if keeps is None else keeps, demand)
        if keeps is not None:
            self.leaving.add(running.job.id)
        if self.ends.now < now:
            self.ends.pass_to(now)
        self.ends.put(running)

    def _stops(self, job: str) -> None:
        """It holds nothing any more."""
        running = self.running.pop(job, None)
        if running is not None:
            self._version += 1
            self.idle.give(running.placement, running.job.demand)
            self.staying.give(running.placement if running.keeps is None else running.keeps, running.job.demand)
            self.leaving.discard(job)
            self.ends.drop(job)
            if self._queue is not None:
                self._queue.latest.forget(job)
