"""An agent that coordinates: its hub, the coordinator, and the views that are written down before they are pushed."""

from __future__ import annotations

import time
from collections import deque

from orchestrator.rundir.layout import RunDirectory
from orchestrator.rundir.membership import newest_view, publish_view
from orchestrator.runtime.membership import events as e
from orchestrator.runtime.membership.coordinator import Coordinator
from orchestrator.runtime.membership.hub import Hub
from orchestrator.runtime.membership.journal import Journal
from orchestrator.runtime.membership.terms import Term, newest_term

_LOOK_SECONDS = 1.0


class Superseded(Exception):
    """Another agent has begun a later term."""


class Coordinating:
    """The coordinator of one term.

    Args:
        run: the run.
        term: claimed by this agent.
        hub: listens at the term's address.
        policy: the run's rules.
        journal: this agent's own.
        dead: the agent that coordinated before, where it is known to be dead.
    """

    def __init__(
        self, run: RunDirectory, term: Term, hub: Hub, policy: e.Policy, journal: Journal, dead: int | None
    ) -> None:
        self._run = run
        self._term = term
        self._hub = hub
        self._policy = policy
        self._journal = journal
        self._dead = dead
        self._unwritten: deque[e.Instruction] = deque()
        self._todo: list[e.Instruction] = []
        self._for_all: e.StopWorkers | e.EndRun | e.StandDown | None = None
        self._looked = time.monotonic()
        self._coordinator: Coordinator | None = None

    def tell(self, event: e.Event) -> None:
        """Something happened; before the coordinator knows the newest view, the journal keeps it."""
        if self._coordinator is not None:
            self._unwritten += self._coordinator.handle(event, time.monotonic())

    def turn(self) -> list[e.Instruction]:
        """What came over the network is told, what is to be done goes out.

        Returns:
            What concerns this agent itself.

        Raises:
            Superseded: it coordinates no longer.
            OSError: the run directory is away; the next turn tries again.
        """
        if self._coordinator is None:
            self._begin()
        for event in self._hub.events():
            self.tell(event)
            if isinstance(event, e.AgentJoined) and self._for_all is not None:
                self._hub.instruct(event.agent, self._for_all)
        self.tell(e.Tick())
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._check_term()
        while self._unwritten and self._carry_out(self._unwritten[0]):
            self._unwritten.popleft()
        todo, self._todo = self._todo, []
        return todo

    def close(self) -> None:
        """End all connections."""
        self._hub.close()

    def _begin(self) -> None:
        """A coordinator that knows the newest view, and of this agent what it would be told by another."""
        view = newest_view(self._run)
        self._coordinator = Coordinator(self._policy, last=view)
        if view is not None:
            self._hub.push(view)
            self._todo.append(e.Publish(view))  # who wrote it down may not have lived to tell of it
        for wish in self._journal.wishes():
            self.tell(wish)
        for word in self._journal.words():
            self.tell(word)
        if self._dead is not None:
            self.tell(e.AgentGone(self._dead, certain=True))

    def _carry_out(self, instruction: e.Instruction) -> bool:
        """Do one thing; False where it must be tried again, before all that follows it."""
        match instruction:
            case e.Publish():
                return self._write(instruction)
            case e.StartWorker() | e.EndWorker() if e.agent_of(instruction.number) != self._term.agent:
                self._hub.instruct(e.agent_of(instruction.number), instruction)
            case e.ReleaseWorker():
                self._hub.release(instruction.number)
            case e.StopWorkers() | e.EndRun() | e.StandDown():
                self._for_all = instruction
                self._hub.instruct(None, instruction)
                self._todo.append(instruction)
            case _:
                self._todo.append(instruction)
        return True

    def _write(self, publish: e.Publish) -> bool:
        """Write a view down, then push it."""
        try:
            written = publish_view(self._run, publish.view)
        except OSError:
            return False  # a full disk or one that is away: without the file nobody may act on the view
        if not written:
            self._check_term()
            self._hub.drop_all()
            self._unwritten.clear()
            self._coordinator = None
            return False
        self._hub.push(publish.view)
        self._todo.append(publish)
        return True

    def _check_term(self) -> None:
        self._looked = time.monotonic()
        newest = newest_term(self._run)
        if newest is not None and newest.number > self._term.number:
            raise Superseded
