"""The discrete-event engine: true jobs arrive, run and end, and the scheduler's own state decides.

All events of one instant are taken in before one decision is made. A simulated run obeys at once: what is preempted or
shrunk has let go at the same instant, and the policy is asked again until it decides nothing more. Starts and growths
alone are no reason to ask again: a decision leaves nothing out that fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from orchestrator.base.errors import OrchestratorError
from orchestrator.base.text import counted
from orchestrator.scheduling.decisions import Decisions
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.simulation.core import Core
from orchestrator.simulation.life import Life
from orchestrator.simulation.machines import Machines, check_drains
from orchestrator.simulation.observers import Observer
from orchestrator.simulation.outcomes import Result
from orchestrator.simulation.stalls import NEVER_START, Stalls
from orchestrator.simulation.timers import Event, Kind, Timers
from orchestrator.simulation.truth import Charges, Drain, Faults, TrueJob
from orchestrator.simulation.usage import Accounts
from orchestrator.simulation.world import World
from orchestrator.spec.policy import Policy

ROUNDS = 1_000
"""So many decisions in a row at one instant are taken for a loop without an end."""
_PROGRESS = 512
"""Events between two words of progress."""


class EndlessDecision(OrchestratorError):
    """A policy that goes on freeing slots at one instant; an error in the policy."""

    code = "endless_decision"


class Engine:
    """One simulation.

    Args:
        snapshot: the cluster, its teams, and jobs that are there already.
        load: jobs to come.
        policy: who decides.
        work: seconds of work in all of the jobs of the snapshot; those that are not named never end.
        charges: what decisions cost.
        faults: of nodes; None: none.
        drains: of nodes.
        observers: who looks on.
        core: the scheduler's state, made of the same snapshot; default: that of `scheduling`.

    Attributes:
        stop: set it (in a signal's handler, an observer) to end the simulation before the next instant.
        world: what is true now.
        events: taken in so far: arrivals, ends, checkpoints, failures, repairs, drains, wakes.
        decided: how often the policy was asked.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        load: Iterable[TrueJob],
        policy: Policy,
        *,
        work: Mapping[str, float] | None = None,
        charges: Charges | None = None,
        faults: Faults | None = None,
        drains: Sequence[Drain] = (),
        observers: Sequence[Observer] = (),
        core: Core | None = None,
    ) -> None:
        check_drains(drains, snapshot.nodes)
        self.stop = False
        self.events = self.decided = 0
        self._snapshot = snapshot
        self._policy = policy
        self._core: Core = core if core is not None else State.of(snapshot)
        self._timers = Timers()
        self._coming = sorted(load, key=lambda true: (true.job.submitted, true.job.sequence))
        self._arrived = 0
        self._wake = math.inf
        fair = policy.order.by == "fair"
        accounts = Accounts(policy.order.half_life, snapshot.usage) if fair else None
        machines = Machines(snapshot.nodes, faults)
        self.world = World(self._core, machines, self._timers, charges or Charges(), accounts)
        present = bool(snapshot.running or snapshot.pending)
        self._began = snapshot.now if present or not self._coming else self._coming[0].job.submitted
        self.world.now = self._began
        self._told_usage = -math.inf
        self._watches = [(-math.inf, observer) for observer in observers]
        self._set_timers(drains)
        self.world.adopt(snapshot, work or {})

    def run(
        self,
        *,
        until: float = math.inf,
        most_events: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Result:
        """Go on to the end, to a time, or for so many events; or until somebody sets `stop`.

        Args:
            until: seconds; what would happen later does not.
            most_events: at most so many.
            progress: told now and then how many jobs of how many ended.

        Raises:
            EndlessDecision: the policy never comes to an end at some instant.
        """
        told, stalls = 0, Stalls()
        if self.world.lives and not self.decided:
            self._decide()
        while (at := self._next()) < math.inf:
            stopped = self._stopped(at, until, most_events)
            if stopped:
                if at > until:
                    self.world.pass_to(max(until, self.world.now))
                return self._result(stopped)
            if self._take_in(at):
                self._decide()
                if self._arrived == len(self._coming) and (reason := stalls.reason(self.world)):
                    return self._result(reason)
            if progress is not None and self.events - told >= _PROGRESS:
                told = self.events
                progress(len(self.world.outcomes), len(self._coming))
        return self._result(NEVER_START if self.world.lives else "")

    # --- the clock -------------------------------------------------------------------------------------------------

    def _set_timers(self, drains: Sequence[Drain]) -> None:
        now = self.world.now
        for at, name in self.world.machines.first_failures(now):
            self._timers.at(at, Kind.FAIL, name)
        for drain in drains:
            self._timers.at(max(drain.start, now), Kind.DRAIN, drain.node)
            self._timers.at(max(drain.end, now), Kind.RESUME, drain.node)

    def _next(self) -> float:
        """When something happens next; infinite where nothing does that still matters."""
        more = self._arrived < len(self._coming)
        if not more and not self.world.lives:
            return math.inf
        heap = self._timers.heap
        while heap and heap[0][1] <= Kind.CHECKPOINT and not _valid(heap[0]):
            self._timers.pop()
        at = min(heap[0][0], self._wake) if heap else self._wake
        return min(at, self._coming[self._arrived].job.submitted) if more else at

    def _stopped(self, at: float, until: float, most_events: int | None) -> str:
        if self.stop:
            return "stopped"
        if at > until:
            return "the horizon is reached"
        return "the bound on events is reached" if most_events is not None and self.events >= most_events else ""

    def _take_in(self, now: float) -> bool:
        """Everything that happens at this instant.

        Returns:
            Whether there is anything to decide: a checkpoint alone is no reason.
        """
        world, heap, coming = self.world, self._timers.heap, self._coming
        world.pass_to(now)
        news = False
        while heap and heap[0][0] <= now:
            event = self._timers.pop()
            if event[1] > Kind.CHECKPOINT or _valid(event):
                self.events += 1
                news |= self._happen(event)
        while self._arrived < len(coming) and coming[self._arrived].job.submitted <= now:
            world.arrive(coming[self._arrived])
            self._arrived += 1
            self.events += 1
            news = True
        if self._wake <= now:
            self._wake = math.inf
            self.events += 1
            news = True
        return news

    def _happen(self, event: Event) -> bool:
        _, kind, _, what = event
        if isinstance(what, Life):
            self.world.end(what)
        elif isinstance(what, tuple):
            self.world.checkpoint(what[0])
            return False
        else:
            self._happen_to_node(kind, str(what))
        return True

    def _happen_to_node(self, kind: int, name: str) -> None:
        if kind == Kind.FAIL:
            self.world.fail(name)
        elif kind == Kind.REPAIR:
            self.world.repair(name)
        else:
            self.world.drain(name, 1 if kind == Kind.DRAIN else -1)

    # --- decisions -------------------------------------------------------------------------------------------------

    def _decide(self) -> None:
        world, core, policy, now = self.world, self._core, self._policy, self.world.now
        if now - self._told_usage >= policy.round:
            self._told_usage = now
            world.tell_usage(self._snapshot)
        freed = False
        for _ in range(ROUNDS):
            decisions = core.decide(policy, now)
            self.decided += 1
            self._wake = decisions.wake if decisions.wake is not None and decisions.wake > now else math.inf
            if not decisions:
                break
            core.carry_out(decisions, now)
            freed |= world.carry_out(decisions)
            if not freed:
                break
        else:
            raise _endless(decisions, policy, now)
        self._look()

    def _look(self) -> None:
        for index, (due, observer) in enumerate(self._watches):
            if self.world.now >= due:
                observer.look(self.world)
                self._watches[index] = (self.world.now + observer.every, observer)

    def _result(self, stopped: str) -> Result:
        world, lives = self.world, self.world.lives.values()
        return Result(
            outcomes=tuple(world.outcomes),
            began=self._began,
            ended=world.now,
            unfinished=tuple(world.lives),
            events=self.events,
            decisions=self.decided,
            used=world.used_area,
            capacity=world.capacity_area,
            node_failures=world.node_failures,
            lost=math.fsum((*(o.lost for o in world.outcomes), *(life.lost for life in lives))),
            charged=math.fsum(
                (*(o.charged for o in world.outcomes), *(life.charged_until(world.now) for life in lives))
            ),
            stopped=stopped,
        )


def simulate(
    snapshot: Snapshot,
    load: Iterable[TrueJob],
    policy: Policy,
    *,
    charges: Charges | None = None,
    faults: Faults | None = None,
    drains: Sequence[Drain] = (),
    observers: Sequence[Observer] = (),
) -> Result:
    """A whole simulation, from the first arrival to the last end.

    Raises:
        EndlessDecision: the policy never comes to an end at some instant.
    """
    engine = Engine(snapshot, load, policy, charges=charges, faults=faults, drains=drains, observers=observers)
    return engine.run()


def _valid(event: Event) -> bool:
    """Whether an end or a checkpoint still holds: the run was neither resized nor stopped since it was set."""
    what = event[3]
    if isinstance(what, Life):
        return what.ticket == event[2]
    assert isinstance(what, tuple)
    return bool(what[0].placement) and what[0].runs == what[1]


def _endless(decisions: Decisions, policy: Policy, now: float) -> EndlessDecision:
    jobs = dict.fromkeys([*(d.job for d in decisions.preempts), *(d.job for d in decisions.resizes)])
    shown = ", ".join(list(jobs)[:10]) + (" …" if len(jobs) > 10 else "")
    return EndlessDecision(
        f"at second {now:,.0f} the policy {policy.name!r} has decided {counted(ROUNDS, 'time')} in a row, "
        f"the last time about {shown}",
        hint="preempted or shrunk jobs cause new preemptions: protect them by preemption.min_run or elastic.between",
    )
