"""An agent's place in a gang of fixed size: it leads, it follows, or it is alone."""

from __future__ import annotations

import contextlib
import selectors
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from orchestrator.base.errors import Conflict
from orchestrator.rundir.allocations import AllocationFiles, run_has_finished
from orchestrator.rundir.grant import Grant
from orchestrator.rundir.launch import Launch
from orchestrator.runtime.gang.rules import GangRules, Order, outcome_of
from orchestrator.runtime.logs import say
from orchestrator.runtime.membership import events as e
from orchestrator.runtime.membership.following import Following
from orchestrator.runtime.membership.hub import Hub
from orchestrator.runtime.membership.journal import Journal
from orchestrator.runtime.membership.secret import make_secret, read_secret
from orchestrator.runtime.membership.terms import Term, Whereabouts, claim_term, newest_term
from orchestrator.runtime.outcome import Outcome
from orchestrator.runtime.rendezvous import free_port

_LOST_AFTER = 30.0
"""Seconds of silence after which an agent is lost: nothing can be saved then, so nobody is in a hurry."""
_CUT_WITHIN = 5.0
_LEAD_WITHIN = 330.0
"""How long the others wait for the first agent: longer than it waits for them."""
_LOOK_SECONDS = 0.5
_SAY_WITHIN = 10.0

GangInstruction = e.StartPart | e.StopWorkers | e.EndRun


class GangPlace(Protocol):
    """For one thread; nothing but `turn` waits."""

    @property
    def outcome(self) -> Outcome | None:
        """Once this agent's part has ended: how the run ended, as far as it is this agent's to say; None: not yet."""
        ...

    def tell(self, word: e.AgentLeaves | e.PartEnded) -> None:
        """Say that this agent was told to stop, or how its part ended."""
        ...

    def turn(self, seconds: float) -> Sequence[GangInstruction]:
        """Wait for at most so long; what this agent is to do. Ranks start by the first `StartPart`."""
        ...

    def close(self) -> None:
        """Give up the place."""
        ...


def place_in_gang(
    files: AllocationFiles, launch: Launch, grant: Grant, wake: int, name: Callable[[int], str]
) -> GangPlace:
    """The place of an agent.

    Args:
        files: its own.
        launch: what is started.
        grant: says how many nodes there are, and which this one is.
        wake: a file whose readability ends a `turn` early.
        name: of an agent's node.

    Raises:
        Conflict: another process leads the run.
        OSError: the run directory or the network fails.
    """
    if grant.nodes == 1:
        return Alone(wake)
    make_secret(files.run)
    secret = read_secret(files.run)
    if grant.place > 0:
        return Part(files, secret, wake)
    rules = GangRules(
        grant.nodes,
        shared=launch.ranks_share_slots,
        begin=lambda: e.StartPart(grant.host, free_port(grant.host)),
        name=name,
    )
    return Lead(files, secret, grant.host, wake, rules)


class Alone:
    """The only agent of its run.

    Args:
        wake: a file whose readability ends a `turn` early.
    """

    def __init__(self, wake: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._selector.register(wake, selectors.EVENT_READ, None)
        self._started = False
        self.outcome: Outcome | None = None

    def tell(self, word: e.AgentLeaves | e.PartEnded) -> None:
        """Its own end is that of the run."""
        if isinstance(word, e.PartEnded):
            self.outcome = outcome_of(word)

    def turn(self, seconds: float) -> Sequence[GangInstruction]:
        """At first: start."""
        if self._started:
            self._selector.select(seconds)
            return ()
        self._started = True
        return (e.StartPart("127.0.0.1", free_port()),)

    def close(self) -> None:
        """Nobody else is there."""
        self._selector.close()


class Lead:
    """The agent that the others connect to.

    Args:
        files: its own.
        secret: the run's.
        host: the address by which other nodes reach this one.
        wake: a file whose readability ends a `turn` early.
        rules: say what is to be done.

    Raises:
        Conflict: another process leads the run.
    """

    def __init__(self, files: AllocationFiles, secret: bytes, host: str, wake: int, rules: GangRules) -> None:
        self._index = files.index
        self._rules = rules
        self._selector = selectors.DefaultSelector()
        self._selector.register(wake, selectors.EVENT_READ, None)
        self._hub = Hub(
            secret, host, self._selector, clock=time.monotonic, lost_after=_LOST_AFTER, cut_within=_CUT_WITHIN, say=say
        )
        self._todo: list[GangInstruction] = []
        if not claim_term(files.run, Term(1, self._index, *self._hub.address, Whereabouts.own())):
            raise Conflict(f"{files.run.run} has an agent that leads already", hint="retry the job to get another run")
        self._handle(e.AgentJoined(self._index, 0, 0))

    @property
    def outcome(self) -> Outcome | None:
        """Of the run."""
        return self._rules.outcome

    def tell(self, word: e.AgentLeaves | e.PartEnded) -> None:
        """What happened on this node."""
        self._handle(word)

    def turn(self, seconds: float) -> Sequence[GangInstruction]:
        """Hear the others, tell them what they are to do."""
        if not self._todo:
            for key, _ in self._selector.select(seconds):
                if key.data is not None:
                    key.data()
        for event in self._hub.events():
            if isinstance(event, e.AgentJoined | e.AgentLeaves | e.AgentGone | e.PartEnded):
                self._handle(event)
        self._handle(e.Tick())
        todo, self._todo = self._todo, []
        return todo

    def close(self) -> None:
        """End all connections."""
        self._hub.close()
        self._selector.close()

    def _handle(self, event: e.AgentJoined | e.AgentLeaves | e.AgentGone | e.PartEnded | e.Tick) -> None:
        for order in self._rules.handle(event, time.monotonic()):
            self._carry_out(order)

    def _carry_out(self, order: Order) -> None:
        agent, instruction = order
        if agent != self._index:
            self._hub.instruct(agent, instruction)
        if agent in {None, self._index}:
            self._todo.append(instruction)


class Part:
    """An agent that does what the lead says.

    Args:
        files: its own.
        secret: the run's.
        wake: a file whose readability ends a `turn` early.
    """

    def __init__(self, files: AllocationFiles, secret: bytes, wake: int) -> None:
        self._files = files
        self._secret = secret
        self._selector = selectors.DefaultSelector()
        self._selector.register(wake, selectors.EVENT_READ, None)
        self._journal = Journal(files.index, 0, 0)
        self._following: Following | None = None
        self._born = self._looked = time.monotonic()
        self._end: e.PartEnded | None = None
        self._ended_at = 0.0
        self._given_up = self._late = False

    @property
    def outcome(self) -> Outcome | None:
        """Of its part, once the lead has been told of it, or is lost."""
        if self._end is None:
            return None
        said = self._following is not None and self._following.has_said_all
        late = self._given_up or time.monotonic() - self._ended_at > _SAY_WITHIN
        return outcome_of(self._end) if said or late else None

    def tell(self, word: e.AgentLeaves | e.PartEnded) -> None:
        """Say it now, and to a lead that comes back."""
        self._journal.note(word)
        if isinstance(word, e.PartEnded) and self._end is None:
            self._end, self._ended_at = word, time.monotonic()
        if self._following is not None:
            self._following.tell(word)

    def turn(self, seconds: float) -> Sequence[GangInstruction]:
        """Hear the lead."""
        if self._following is None:
            self._look()
        for key, _ in self._selector.select(min(seconds, _LOOK_SECONDS)):
            if key.data is not None:
                key.data()
        todo = [] if self._following is None else self._following.turn()
        found = [word for word in todo if isinstance(word, e.StartPart | e.StopWorkers | e.EndRun)]
        return [*found, *self._give_up()]

    def close(self) -> None:
        """End the connection."""
        if self._following is not None:
            self._following.close()
        self._selector.close()

    def _look(self) -> None:
        if time.monotonic() - self._looked < _LOOK_SECONDS and self._looked != self._born:
            return
        self._looked = time.monotonic()
        term = None
        with contextlib.suppress(OSError):  # a disk that is away for a moment
            term = newest_term(self._files.run)
            self._late = term is None and run_has_finished(self._files.run)
        if term is not None:
            self._following = Following(
                self._secret, term, self._files.index, self._journal, self._selector, lost_after=_LOST_AFTER
            )

    def _give_up(self) -> list[GangInstruction]:
        """The end of this part where the lead is lost, or never came; once."""
        if self._given_up:
            return []
        if self._following is not None:
            why = "agent 0, which leads, was lost: its node, the network to it, or the agent itself"
            self._given_up = self._following.is_due()
        else:
            why = "the run has finished" if self._late else f"agent 0, which leads, did not come in {_LEAD_WITHIN:g} s"
            self._given_up = self._late or time.monotonic() - self._born > _LEAD_WITHIN
        return [e.EndRun("failed", why, "infrastructure")] if self._given_up else []
