"""What a coordinator knows of agents and workers: facts, noted from events; others decide."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from orchestrator.rundir.membership import Member, View
from orchestrator.runtime.membership.events import AgentJoined, AgentLeaves, Placement, WorkerBeat, agent_of
from orchestrator.runtime.membership.protocol import Phase
from orchestrator.runtime.placing import Part, surplus_of

Standing = Literal["warming", "ready", "member", "leaving", "ended"]
"""Of a live process: not yet warm; warm, in no view; in the view; told to go; to be killed by its agent."""

Fate = Literal["lost", "missing", "left", "succeeded", "stopped"]
"""Of one that is no more: dead, as its agent says; dead or out of reach; ended in good order, in three ways."""


@dataclass(frozen=True)
class Agent:
    """One agent: its room, the number that its next worker gets, and its machine."""

    index: int
    room: int
    next_number: int
    node: str = ""


@dataclass(frozen=True)
class Worker:
    """One live process.

    Attributes:
        number: which one.
        standing: its place in the run.
        since: when it came to that standing.
        heard: when it was last heard of.
        moved: when its step, its phase or its view last changed.
        member: how others reach it, once it is warm.
        step: that it is at.
        phase: what it does there.
        epoch: of the view that it has taken.
        cut: when its connection broke; None: it has one, or never had.
    """

    number: int
    standing: Standing
    since: float
    heard: float
    moved: float
    member: Member | None = None
    step: int = 0
    phase: Phase = "idle"
    epoch: int = 0
    cut: float | None = None


class Roster:
    """Agents and workers as they are now.

    Args:
        last: the newest view of the coordinator before; its members are awaited.
    """

    def __init__(self, last: View | None) -> None:
        self.agents: dict[int, Agent] = {}
        self.workers: dict[int, Worker] = {}
        self.fates: dict[int, Fate] = {}
        self.going: dict[int, AgentLeaves] = {}
        self.placement: Placement | None = None
        self.view = last
        self.awaited: set[int] = set() if last is None else {*last.numbers}
        self._members = {} if last is None else {member.number: member for member in last.members}

    def join(self, event: AgentJoined, time: float) -> list[int]:
        """An agent comes, or comes back.

        Returns:
            Numbers of its processes that were given up already.
        """
        self.agents[event.agent] = Agent(event.agent, event.room, event.next_number, event.node)
        for number in event.workers:
            self.meet(number, time)
        for number in self.numbers_of(event.agent):
            if number >= event.next_number:  # the order to start it was lost on the way
                self.workers.pop(number, None)
            elif number not in event.workers:
                self.remove(number, "lost")
        return [number for number in event.workers if number in self.fates]

    def resize(self, agent: int, room: int) -> None:
        """An agent can hold more or fewer processes."""
        self.agents[agent] = replace(self.agents[agent], room=room)

    def goes(self, event: AgentLeaves) -> None:
        """An agent was told to go."""
        self.resize(event.agent, 0)
        self.going[event.agent] = event

    def drop(self, agent: int) -> None:
        """An agent is gone."""
        self.agents.pop(agent, None)
        self.going.pop(agent, None)

    def start(self, agent: Agent, time: float) -> int:
        """Give the agent's next number to a worker that is about to be started."""
        number = agent.next_number
        self.agents[agent.index] = replace(agent, next_number=number + 1)
        self.workers[number] = Worker(number, "warming", since=time, heard=time, moved=time)
        return number

    def meet(self, number: int, time: float) -> Worker | None:
        """A worker shows that it lives; None where it was given up."""
        if number in self.fates:
            return None
        known = self.workers.get(number)
        if known is None:
            member = self._members.get(number)
            known = Worker(number, self._standing(number), since=time, heard=time, moved=time, member=member)
        self.awaited.discard(number)
        self.workers[number] = worker = replace(known, heard=time, cut=None)
        return worker

    def runs(self, number: int, time: float) -> None:
        """A worker's process computes; whether its connection holds is another question."""
        worker = self.workers.get(number)
        if worker is not None:
            self.workers[number] = replace(worker, heard=time)

    def ready(self, member: Member, time: float) -> None:
        """A worker is warm."""
        worker = self.meet(member.number, time)
        if worker is None:
            return
        if worker.standing == "warming":
            worker = replace(worker, standing="ready", since=time)
        self.workers[member.number] = replace(worker, member=member)

    def beat(self, event: WorkerBeat, time: float) -> None:
        """A worker says where it is."""
        worker = self.meet(event.number, time)
        if worker is None:
            return
        place = (event.step, event.phase, event.epoch)
        moved = worker.moved if place == (worker.step, worker.phase, worker.epoch) else time
        self.workers[event.number] = replace(worker, step=event.step, phase=event.phase, epoch=event.epoch, moved=moved)

    def cut(self, number: int, time: float) -> None:
        """A worker's connection broke."""
        worker = self.workers.get(number)
        if worker is not None:
            self.workers[number] = replace(worker, cut=time)

    def stand(self, numbers: Iterable[int], standing: Standing, time: float) -> None:
        """Put live workers to another standing."""
        for number in numbers:
            worker = self.workers[number]
            if worker.standing != standing:
                self.workers[number] = replace(worker, standing=standing, since=time)

    def set_out(self, view: View, time: float) -> None:
        """The members of a new view set out for it; their steps are counted anew."""
        self.view = view
        for number in view.numbers:
            self.workers[number] = replace(self.workers[number], moved=time)

    def give_up(self, number: int, time: float) -> None:
        """A live worker is to be killed; whether it is dead, its agent will say."""
        self.stand([number], "ended", time)
        self.fates[number] = "missing"

    def remove(self, number: int, fate: Fate) -> None:
        """A worker is no more."""
        self.workers.pop(number, None)
        self.awaited.discard(number)
        self.fates[number] = fate

    def standing(self, *standings: Standing) -> list[Worker]:
        """Live workers of these standings, by number."""
        return [self.workers[n] for n in sorted(self.workers) if self.workers[n].standing in standings]

    def free_agent(self) -> Agent | None:
        """The lowest agent that can hold one more process, where the run shall lie."""
        surplus = self._surplus()
        for index in sorted(self.agents):
            agent = self.agents[index]
            if index not in surplus and self._holds(index) < agent.room and agent_of(agent.next_number) == index:
                return agent
        return None

    def crowded(self) -> set[int]:
        """Workers for which their agent has no room any more: those that have come least far, the highest of them."""
        found: set[int] = set()
        for index, agent in self.agents.items():
            ranked = (*self.standing("member"), *self.standing("ready"), *self.standing("warming"))
            found.update([w.number for w in ranked if agent_of(w.number) == index][agent.room :])
        return found

    def elsewhere(self) -> set[int]:
        """Workers that do not lie where the run shall."""
        surplus = self._surplus()
        return {number for number in self.workers if agent_of(number) in surplus}

    def _surplus(self) -> set[int]:
        if self.placement is None:
            return set()
        return surplus_of([Part(a.index, a.node, a.room) for a in self.agents.values()], dict(self.placement))

    def numbers_of(self, agent: int) -> list[int]:
        """Live and awaited workers of an agent."""
        return sorted(n for n in {*self.workers, *self.awaited} if agent_of(n) == agent)

    def _holds(self, agent: int) -> int:
        return sum(agent_of(number) == agent for number in self.workers)

    def _standing(self, number: int) -> Standing:
        """That of a worker which a coordinator before this one started."""
        if self.view is not None and number in self.view.numbers:
            return "member"
        return "leaving" if self.view is not None and number in self.view.leaving else "warming"
