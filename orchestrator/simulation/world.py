"""The simulated cluster: jobs that wait and run on nodes that fail, and what it tells the scheduler of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from orchestrator.scheduling.cluster import Demand, Node, Placement, without, workers_of
from orchestrator.scheduling.decisions import Decisions, Preempt, Resize, Start
from orchestrator.scheduling.deltas import Gone, NodeIs, Pends, Runs, Teams
from orchestrator.scheduling.jobs import Running
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.simulation.core import Core
from orchestrator.simulation.dependencies import Dependencies
from orchestrator.simulation.life import Life
from orchestrator.simulation.machines import Machines
from orchestrator.simulation.outcomes import Outcome
from orchestrator.simulation.timers import Kind, Timers
from orchestrator.simulation.truth import Charges, TrueJob
from orchestrator.simulation.usage import Accounts


class World:
    """What is true at `now`; every change is told to the scheduler's state.

    Attributes:
        now: seconds.
        lives: jobs that came and did not end.
        outcomes: of those that did.
        busy: jobs that run.
        used: slots that they hold.
        area: integral over time of the number of jobs in the system.
        used_area: slot-seconds held.
        capacity_area: slot-seconds of nodes that were not down.
        node_failures: so far.
        thrown_out: runs that a failing node ended, so far.
        progress: how often work was done for good: jobs that ended, checkpoints, and preemptions that lose nothing.
    """

    def __init__(
        self, core: Core, machines: Machines, timers: Timers, charges: Charges, accounts: Accounts | None
    ) -> None:
        self._core = core
        self._timers = timers
        self._charges = charges
        self._accounts = accounts
        self._needs = Dependencies()
        self.machines = machines
        self.now = 0.0
        self.lives: dict[str, Life] = {}
        self.outcomes: list[Outcome] = []
        self.busy = self.used = self.node_failures = self.thrown_out = self.progress = 0
        self.area = self.used_area = self.capacity_area = 0.0

    @property
    def queue(self) -> int:
        """Jobs that wait."""
        return len(self.lives) - self.busy

    @property
    def capacity(self) -> int:
        """Slots of the nodes that are not down."""
        return self.machines.capacity

    def free(self) -> Mapping[str, int]:
        """Slots of each node that is up and not in maintenance, less those that are held."""
        free = {node.name: node.slots for node in self.machines.nodes.values() if _open(node, self.now)}
        for life in self.lives.values():
            for name, workers in life.placement:
                if name in free:
                    free[name] -= workers * life.job.demand.slots
        return free

    def waiting(self) -> Iterable[Demand]:
        """The demands of the jobs that wait."""
        return (life.job.demand for life in self.lives.values() if not life.placement)

    def node(self, name: str) -> Node:
        """A node, as it is."""
        return self.machines.nodes[name]

    def pass_to(self, now: float) -> None:
        """Time goes by."""
        past = now - self.now
        self.area += past * len(self.lives)
        self.used_area += past * self.used
        self.capacity_area += past * self.machines.capacity
        self.now = now

    # --- jobs ------------------------------------------------------------------------------------------------------

    def adopt(self, snapshot: Snapshot, work: Mapping[str, float]) -> None:
        """Take over the jobs of a snapshot. What was asked of a running job has happened by now.

        Args:
            snapshot: what the scheduler's state was made of.
            work: seconds of each job in all; who is not named never ends.
        """
        endless = float("inf")
        waiting = {job.id for job in snapshot.pending}
        for running in snapshot.running:
            if running.job.id not in waiting:
                self._adopt(running, Life(TrueJob(running.job, work.get(running.job.id, endless)), self.area))
        for job in snapshot.pending:
            life = Life(TrueJob(replace(job, releasing=False), work.get(job.id, endless)), self.area)
            self._enter(life)
            if job.releasing:
                self._core.apply(Pends(life.job), self.now)

    def arrive(self, true: TrueJob) -> None:
        """A job comes."""
        self._enter(Life(true, self.area))
        self._core.apply(Pends(true.job), self.now)

    def end(self, life: Life) -> None:
        """A run ends, and its job with it."""
        life.advance(self.now)
        self._let_go(life)
        job = life.job.id
        del self.lives[job]
        self.outcomes.append(life.outcome(self.now, self.area))
        self.progress += 1
        life.placement = ()
        self._core.apply(Gone(job), self.now)
        if life.ending == "completed":
            for freed in self._needs.succeeded(job):
                self._core.apply(Pends(freed), self.now)

    def checkpoint(self, life: Life) -> None:
        """A running job saves."""
        life.save(self.now)
        self.progress += 1
        self._tell(life)
        self._next_checkpoint(life)

    # --- nodes -----------------------------------------------------------------------------------------------------

    def fail(self, name: str) -> None:
        """A node goes down; whatever lay on it falls back and waits again."""
        self.node_failures += 1
        for life in list(self.lives.values()):
            if any(share.node == name for share in life.placement):
                life.advance(self.now)
                life.lose()
                self.thrown_out += 1
                self._send_back(life, preempted=False)
        node, repaired = self.machines.fail(name)
        self._timers.at(self.now + repaired, Kind.REPAIR, name)
        self._core.apply(NodeIs(node), self.now)

    def repair(self, name: str) -> None:
        """A node comes back."""
        node, fails = self.machines.repair(name)
        self._timers.at(self.now + fails, Kind.FAIL, name)
        self._core.apply(NodeIs(node), self.now)

    def drain(self, name: str, more: int) -> None:
        """A drain of a node begins (1) or ends (-1)."""
        self._core.apply(NodeIs(self.machines.drain(name, more)), self.now)

    # --- decisions -------------------------------------------------------------------------------------------------

    def tell_usage(self, snapshot: Snapshot) -> None:
        """What teams have used until now, where the policy wants to know."""
        if self._accounts is not None:
            self._core.apply(Teams(snapshot.teams, self._accounts.usage(self.now)), self.now)

    def carry_out(self, decisions: Decisions) -> bool:
        """Do what was decided, at once.

        Returns:
            Whether slots were freed, which somebody else may have been waiting for.
        """
        for preempt in decisions.preempts:
            self._preempt(preempt)
        freed = bool(decisions.preempts)
        for resize in decisions.resizes:
            freed |= self._resize(resize)
        for start in decisions.starts:
            self._start(start)
        return freed

    def _start(self, start: Start) -> None:
        life = self.lives[start.job]
        charge = self._charges.resume if life.came_back else 0.0
        life.begin(self.now, start.placement, charge)
        self._hold(life)
        if charge or self._charges.checkpoint_every is not None:
            self._tell(life)
        self._next_checkpoint(life)

    def _preempt(self, preempt: Preempt) -> None:
        life = self.lives[preempt.job]
        life.advance(self.now)
        if self._charges.checkpoint_every is not None:
            life.lose()
        else:
            self.progress += 1
        self._send_back(life, preempted=True)

    def _resize(self, resize: Resize) -> bool:
        life = self.lives[resize.job]
        left = without(life.placement, resize.placement)
        self._change_width(life, resize.placement)
        return bool(left)

    # --- records ---------------------------------------------------------------------------------------------------

    def _enter(self, life: Life) -> None:
        self.lives[life.job.id] = life
        if life.job.waits_for:
            self._needs.add(life)

    def _adopt(self, running: Running, life: Life) -> None:
        self._enter(life)
        life.adopt(running, self.now)
        self._hold(life)
        self._next_checkpoint(life)
        if running.stopping:
            self._send_back(life, preempted=True)
        elif running.keeps is not None:
            self._change_width(life, running.keeps)

    def _change_width(self, life: Life, placement: Placement) -> None:
        before = workers_of(life.placement)
        self._let_go(life)
        life.resize(self.now, placement, self._charges.resize if workers_of(placement) != before else 0.0)
        self._hold(life)
        self._tell(life)

    def _send_back(self, life: Life, *, preempted: bool) -> None:
        self._let_go(life)
        self._core.apply(Pends(life.leave(self.now, preempted=preempted)), self.now)

    def _hold(self, life: Life) -> None:
        self.busy += 1
        self.used += life.slots
        if self._accounts is not None:
            self._accounts.change(life.job.team, life.slots, self.now)
        at, life.ending = life.end(self.now)
        life.ticket = self._timers.at(at, Kind.END, life)

    def _let_go(self, life: Life) -> None:
        self.busy -= 1
        self.used -= life.slots
        if self._accounts is not None:
            self._accounts.change(life.job.team, -life.slots, self.now)
        life.ticket = 0

    def _tell(self, life: Life) -> None:
        checkpoints = self._charges.checkpoint_every is not None
        self._core.apply(Runs(life.running(self.now, checkpoints=checkpoints)), self.now)

    def _next_checkpoint(self, life: Life) -> None:
        every = self._charges.checkpoint_every
        if every is not None:
            self._timers.at(max(self.now, life.counted) + every, Kind.CHECKPOINT, (life, life.runs))


def _open(node: Node, now: float) -> bool:
    return node.state == "up" and node.window_at(now) is None
