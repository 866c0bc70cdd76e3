"""An agent's place among the agents of its run: it coordinates, or follows the one that does and takes over from it."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable

from orchestrator.rundir.layout import RunDirectory
from orchestrator.rundir.membership import MEMBERS_PER_ALLOCATION
from orchestrator.runtime.logs import say as say_to_log
from orchestrator.runtime.membership import events as e
from orchestrator.runtime.membership.coordinating import Coordinating, Superseded
from orchestrator.runtime.membership.ending import written_end
from orchestrator.runtime.membership.following import Following
from orchestrator.runtime.membership.hub import Hub
from orchestrator.runtime.membership.journal import Journal
from orchestrator.runtime.membership.place import OwnWord
from orchestrator.runtime.membership.secret import make_secret, read_secret
from orchestrator.runtime.membership.terms import Term, Whereabouts, claim_term, newest_term

_LOOK_SECONDS = 0.1
_FIRST_TURN_SECONDS = 2.0
"""Before anybody coordinates: each agent waits so long for each one before it."""
_AGENT_PATIENCE = 3.0
"""An agent may be silent so many times as long as a worker: its workers speak for themselves."""


class Seat:
    """The implementation of `place.AgentPlace`.

    Args:
        run: the run.
        agent: index of this agent's allocation.
        policy: the run's rules.
        room: workers that this agent can hold at a time.
        host: the address of this machine that the run's other machines reach.
        wake: a file whose readability ends a `turn` early; it is not read here.
        next_number: the first number for its workers.
        node: what the engine calls this machine, where the run is told on which nodes it shall lie.
        say: takes lines for the log.
    """

    def __init__(
        self,
        run: RunDirectory,
        agent: int,
        *,
        policy: e.Policy,
        room: int,
        host: str = "127.0.0.1",
        wake: int | None = None,
        next_number: int | None = None,
        node: str = "",
        say: Callable[[str], None] = say_to_log,
    ) -> None:
        self._run = run
        self._agent = agent
        self._policy = policy
        self._host = host
        self._say = say
        first = agent * MEMBERS_PER_ALLOCATION
        self._journal = Journal(agent, room, first if next_number is None else next_number, node)
        self._selector = selectors.DefaultSelector()
        if wake is not None:
            self._selector.register(wake, selectors.EVENT_READ, None)
        make_secret(run)
        self._secret = read_secret(run)
        self._role: Coordinating | Following | None = None
        self._finished: e.EndRun | None = None
        self._trouble = ""
        self._born = time.monotonic()
        self._looked = float("-inf")

    @property
    def coordinates(self) -> bool:
        """Whether this agent coordinates now."""
        return isinstance(self._role, Coordinating)

    def tell(self, word: OwnWord) -> None:
        """Say what happened here."""
        self._journal.note(word)
        if self._role is not None:
            self._role.tell(word)

    def turn(self, seconds: float) -> tuple[e.Instruction, ...]:
        """Move messages for at most so long; what this agent is to do."""
        todo = self._act()
        if not todo:
            for key, _ in self._selector.select(seconds):
                if key.data is not None:
                    key.data()
            todo = self._act()
        for instruction in todo:
            if isinstance(instruction, e.StartWorker):
                self._journal.told(instruction.number)
        return tuple(todo)

    def close(self) -> None:
        """Give up the place; what has been said is sent as far as the others take it."""
        if self._role is not None:
            self._role.close()
        self._role = None
        self._selector.close()

    def _act(self) -> list[e.Instruction]:
        try:
            if not isinstance(self._role, Coordinating):
                self._look()
            if self._finished is not None:
                return [self._finished]
            return [] if self._role is None else self._role.turn()
        except Superseded:
            self._say("another agent coordinates now")
            self._leave_role()
        except OSError as error:
            self._complain(f"the run directory or the network fails: {error}")
        return []

    def _complain(self, trouble: str) -> None:
        """Say it once, as long as it is the same."""
        if trouble != self._trouble:
            self._trouble = trouble
            self._say(trouble)

    def _look(self) -> None:
        """Follow the newest term, or begin the next."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        following = self._role if isinstance(self._role, Following) else None
        if following is not None and not following.is_lost:
            return
        self._looked = now
        term = newest_term(self._run)
        if term is None:
            if now - self._born >= self._agent * _FIRST_TURN_SECONDS:
                self._claim(None)
        elif following is None or following.term.number != term.number:
            self._follow(term)
        elif following.is_due():
            self._claim(term)

    def _follow(self, term: Term) -> None:
        self._leave_role()
        self._say(f"agent {term.agent} coordinates (term {term.number})")
        patience = _AGENT_PATIENCE * self._policy.lost_after
        self._role = Following(self._secret, term, self._agent, self._journal, self._selector, lost_after=patience)

    def _claim(self, before: Term | None) -> None:
        """Begin the next term, unless another agent is faster or there is nothing left to coordinate."""
        self._finished = written_end(self._run)
        if self._finished is not None:
            return
        hub = Hub(
            self._secret,
            self._host,
            self._selector,
            clock=time.monotonic,
            lost_after=_AGENT_PATIENCE * self._policy.lost_after,
            cut_within=self._policy.cut_within,
            say=self._say,
        )
        number = 1 if before is None else before.number + 1
        term = Term(number, self._agent, *hub.address, Whereabouts.own())
        try:
            claimed = claim_term(self._run, term)
        except OSError:
            hub.close()
            raise
        if not claimed:
            hub.close()
            return
        following = self._role if isinstance(self._role, Following) else None
        dead = following.term.agent if following is not None and following.is_dead else None
        self._leave_role()
        self._say(f"this agent coordinates (term {number}, process {os.getpid()})")
        self._role = Coordinating(self._run, term, hub, self._policy, self._journal, dead)

    def _leave_role(self) -> None:
        if self._role is not None:
            self._role.close()
        self._role = None
