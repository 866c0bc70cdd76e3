"""An agent that follows: its connection to the coordinator's hub, and when it is time to take over."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Mapping
from typing import Any

from orchestrator.runtime.membership import events as e
from orchestrator.runtime.membership.channel import Channel
from orchestrator.runtime.membership.hub import PING_SECONDS, greeting
from orchestrator.runtime.membership.journal import Journal
from orchestrator.runtime.membership.secret import nonce, proves
from orchestrator.runtime.membership.terms import Term
from orchestrator.runtime.membership.wire import WireError, pack, unpack

_INSTRUCTIONS: tuple[type[e.Instruction], ...] = (
    e.StartWorker,
    e.EndWorker,
    e.StopWorkers,
    e.EndRun,
    e.StandDown,
    e.StartPart,
)
_AGAIN_SECONDS = 0.1
_CONNECT_SECONDS = 5.0
_TURN_SECONDS = 0.4
"""Between the moments at which the first, the second ... of the surviving agents takes over."""
_DOUBT_SECONDS = 1.0
"""How long an agent tries to come back to a coordinator that may be alive."""
_STRANGER_SECONDS = 10.0
"""How long an agent that was never let in waits before it believes that the coordinator is lost."""


class Following:
    """The place of an agent under another's term.

    Args:
        secret: the run's.
        term: whom it follows.
        agent: its own index.
        journal: its own.
        selector: of its thread.
        lost_after: seconds of silence after which the coordinator is lost.
    """

    def __init__(
        self,
        secret: bytes,
        term: Term,
        agent: int,
        journal: Journal,
        selector: selectors.BaseSelector,
        *,
        lost_after: float,
    ) -> None:
        self.term = term
        self._secret = secret
        self._agent = agent
        self._journal = journal
        self._selector = selector
        self._lost_after = lost_after
        self._channel: Channel | None = None
        self._nonce = nonce()
        self._welcome = False
        self._ever_welcome = False
        self._refused = False
        self._agents: list[int] = []
        self._failing_since = time.monotonic()
        self._heard = self._tried = self._pinged = 0.0
        self._instructions: list[e.Instruction] = []

    @property
    def has_said_all(self) -> bool:
        """Whether nothing that was told waits to be sent."""
        return self._channel is not None and self._welcome and not self._channel.wants_to_write

    def tell(self, word: e.AgentWord | e.Wanted | e.Stopping) -> None:
        """Pass a word on; where there is no connection the journal tells it with the next one.

        What control.json wants is left to the coordinator, who reads it too.
        """
        if self._channel is not None and self._welcome and not isinstance(word, e.Wanted | e.Stopping):
            self._channel.send({"kind": "word", "word": pack(word)})

    def turn(self) -> list[e.Instruction]:
        """What the coordinator wants of this agent."""
        now = time.monotonic()
        if self._channel is None:
            if now - self._tried >= _AGAIN_SECONDS:
                self._connect(now)
        else:
            self._keep_up(self._channel, now)
        todo, self._instructions = self._instructions, []
        return todo

    @property
    def is_lost(self) -> bool:
        """Whether there is no connection now."""
        return not self._welcome

    @property
    def is_dead(self) -> bool:
        """Whether the coordinator's process is known to have ended: nobody listens where its hub was."""
        return self._refused or self.term.process.is_dead()

    def is_due(self) -> bool:
        """Whether the coordinator is lost and this agent's turn to take over has come."""
        if self._welcome:
            return False
        doubt = 0.0 if self.is_dead else _DOUBT_SECONDS if self._ever_welcome else _STRANGER_SECONDS
        return time.monotonic() - self._failing_since > doubt + self._place() * _TURN_SECONDS

    def close(self) -> None:
        """End the connection."""
        if self._channel is not None:
            self._selector.unregister(self._channel.socket)
            self._channel.close()
        if self._welcome:
            self._failing_since = time.monotonic()
        self._channel, self._welcome = None, False

    def _place(self) -> int:
        """Among the agents that survive the coordinator."""
        others = [agent for agent in self._agents if agent != self.term.agent]
        return others.index(self._agent) if self._agent in others else self._agent

    def _connect(self, now: float) -> None:
        self._tried = self._heard = now
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._channel = Channel(sock)
        sock.connect_ex((self.term.host, self.term.port))
        self._selector.register(sock, selectors.EVENT_READ, self._serve)

    def _keep_up(self, channel: Channel, now: float) -> None:
        if self._welcome and now - self._pinged >= PING_SECONDS:
            self._pinged = now
            channel.send({"kind": "ping"})
        elif channel.wants_to_write:
            channel.flush()
        patience = self._lost_after if self._welcome else _CONNECT_SECONDS
        if not channel.open or now - self._heard > patience:
            self.close()

    def _serve(self) -> None:
        channel = self._channel
        if channel is None:
            return
        self._heard = time.monotonic()
        self._refused = channel.was_refused()
        try:
            for message in channel.receive():
                self._take(channel, message)
        except WireError:
            channel.open = False
        if not channel.open:
            self.close()

    def _take(self, channel: Channel, message: Mapping[str, Any]) -> None:
        match message.get("kind"):
            case "challenge":
                channel.send(greeting(self._secret, "agent", self._agent, message.get("nonce"), self._nonce))
            case "welcome" if proves(self._secret, "hub", self._nonce, message.get("proof")):
                channel.trust()
                self._welcome = self._ever_welcome = True
                for word in self._journal.words():
                    self.tell(word)
            case "roster" if self._welcome:
                self._agents = [int(agent) for agent in message["agents"]]
            case "instruction" if self._welcome:
                self._instructions.append(unpack(message["instruction"], *_INSTRUCTIONS))
            case "ping":
                return
            case _:
                raise WireError("a message that a hub does not send")
