"""The hub: where workers and the other agents connect to the coordinator. It turns messages into events.

For the one thread of an agent: sockets never wait, and whoever owns the selector calls back.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from orchestrator.rundir.membership import View
from orchestrator.runtime.membership import events as e
from orchestrator.runtime.membership.channel import Channel
from orchestrator.runtime.membership.secret import nonce, proof, proves
from orchestrator.runtime.membership.terms import Whereabouts
from orchestrator.runtime.membership.wire import WireError, pack, unpack

PING_SECONDS = 0.5
"""How often hub and agents show each other that they live."""

_GREETING_SECONDS = 5.0
_MOST_STRANGERS = 256


@dataclass
class _Peer:
    """One connection; `role` is empty until the peer has shown that it knows the secret."""

    channel: Channel
    challenge: str
    heard: float
    role: str = ""
    index: int = -1
    process: Whereabouts | None = None


class Hub:
    """Listens for workers and agents.

    Args:
        secret: the run's.
        host: the address to listen on.
        selector: of the thread that owns the hub; a key's data is called when it is ready.
        clock: monotonic seconds.
        lost_after: seconds of silence after which an agent is lost.
        cut_within: seconds that an agent whose connection broke has to come back.
        say: takes lines for the log.
    """

    def __init__(
        self,
        secret: bytes,
        host: str,
        selector: selectors.BaseSelector,
        *,
        clock: Callable[[], float],
        lost_after: float,
        cut_within: float,
        say: Callable[[str], None],
    ) -> None:
        self._secret = secret
        self._selector = selector
        self._clock = clock
        self._lost_after = lost_after
        self._cut_within = cut_within
        self._say = say
        self._listener = socket.create_server((host, 0), backlog=256)
        self._listener.setblocking(False)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._peers: list[_Peer] = []
        self._cut: dict[int, tuple[float, Whereabouts]] = {}
        self._events: list[e.Event] = []
        self._view: View | None = None
        self._pinged = 0.0

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    def events(self) -> list[e.Event]:
        """What happened since the last call: call it often, it also notices silence."""
        self._keep_up()
        found, self._events = self._events, []
        return found

    def push(self, view: View) -> None:
        """Send the newest view to all workers, and from now on to each that connects."""
        self._view = view
        for peer in self._of("worker"):
            peer.channel.send({"kind": "view", "view": view.to_json()})

    def release(self, number: int) -> None:
        """Tell a worker that there is no place for it."""
        for peer in self._of("worker", number):
            peer.channel.send({"kind": "released"})

    def instruct(self, agent: int | None, instruction: e.Instruction) -> None:
        """Pass an instruction on to one agent; None: to all."""
        for peer in self._of("agent", agent):
            peer.channel.send({"kind": "instruction", "instruction": pack(instruction)})

    def drop_all(self) -> None:
        """End all connections; who lives comes back and tells again what it knows."""
        for peer in self._peers:
            self._drop(peer)
        self._peers = []

    def close(self) -> None:
        """End all connections and listen no more."""
        self.drop_all()
        self._selector.unregister(self._listener)
        self._listener.close()

    def _of(self, role: str, index: int | None = None) -> list[_Peer]:
        return [peer for peer in self._peers if peer.role == role and index in {None, peer.index}]

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        if len(self._of("")) >= _MOST_STRANGERS:
            sock.close()
            return
        peer = _Peer(Channel(sock), nonce(), self._clock())
        self._peers.append(peer)
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._serve(peer))
        peer.channel.send({"kind": "challenge", "nonce": peer.challenge})

    def _serve(self, peer: _Peer) -> None:
        """Take what a peer has sent."""
        peer.heard = self._clock()
        try:
            for message in peer.channel.receive():
                if peer.role:
                    self._take(peer, message)
                else:
                    self._greet(peer, message)
        except WireError as error:
            self._say(f"hub: {peer.role or 'a stranger'} {peer.index} is cut off: {error}")
            peer.channel.open = False
        if not peer.channel.open:
            self._drop(peer)

    def _greet(self, peer: _Peer, message: Mapping[str, Any]) -> None:
        """A stranger shows that it knows the secret and says who it is."""
        role, index = message.get("role"), message.get("index")
        if role not in {"worker", "agent"} or type(index) is not int:
            raise WireError("no greeting")
        if not proves(self._secret, f"{role} {index}", peer.challenge, message.get("proof")):
            raise WireError("the greeting of somebody who does not know the secret")
        process = unpack(_object(message.get("process")), Whereabouts)
        for other in self._of(role, index):  # it comes back before the end of its old connection was noticed
            self._drop(other)
        peer.role, peer.index, peer.process = role, index, process
        peer.channel.trust()
        peer.channel.send({"kind": "welcome", "proof": proof(self._secret, "hub", str(message.get("nonce")))})
        if role == "agent":
            self._cut.pop(index, None)
            self._send_roster()
        elif self._view is not None:
            peer.channel.send({"kind": "view", "view": self._view.to_json()})

    def _take(self, peer: _Peer, message: Mapping[str, Any]) -> None:
        kind = message.get("kind")
        if kind == "ping":
            return
        if kind == "bye" and peer.role == "worker":  # it ends; how, its agent will say
            peer.channel.open, peer.role = False, "gone"
            return
        if kind != "word":
            raise WireError(f"a message of kind {str(kind)[:40]!r}")
        allowed = get_args(e.AgentWord if peer.role == "agent" else e.WorkerWord)
        word = unpack(_object(message.get("word")), *allowed)
        if _speaker(word) != peer.index:
            raise WireError(f"a word of {_speaker(word)}")
        self._events.append(word)

    def _keep_up(self) -> None:
        """Send what waits, ping, and notice who is gone."""
        now = self._clock()
        ping = now - self._pinged >= PING_SECONDS
        for peer in list(self._peers):
            if ping and peer.role:
                peer.channel.send({"kind": "ping"})
            elif peer.channel.wants_to_write:
                peer.channel.flush()
            patience = self._lost_after if peer.role else _GREETING_SECONDS
            if not peer.channel.open or (peer.role != "worker" and now - peer.heard > patience):
                self._drop(peer)
        self._pinged = now if ping else self._pinged
        self._peers = [peer for peer in self._peers if peer.channel.open]
        self._lose_agents(now)

    def _lose_agents(self, now: float) -> None:
        """An agent whose connection broke is lost once its process is known to be dead, or does not come back."""
        for agent, (since, process) in list(self._cut.items()):
            dead = process.is_dead()
            if dead or now - since > self._cut_within:
                del self._cut[agent]
                self._events.append(e.AgentGone(agent, certain=dead))
                self._send_roster()

    def _drop(self, peer: _Peer) -> None:
        """End a connection; it stays in the list until the next turn."""
        if peer.channel.socket.fileno() < 0:
            return
        self._selector.unregister(peer.channel.socket)
        peer.channel.close()
        role, peer.role = peer.role, ""
        if role == "worker":
            self._events.append(e.WorkerCut(peer.index))
        elif role == "agent" and peer.process is not None:
            self._cut[peer.index] = (self._clock(), peer.process)

    def _send_roster(self) -> None:
        agents = sorted({peer.index for peer in self._of("agent")})
        for peer in self._of("agent"):
            peer.channel.send({"kind": "roster", "agents": agents})


def greeting(secret: bytes, role: str, index: int, challenge: object, own_nonce: str) -> dict[str, Any]:
    """What somebody sends to a hub that has sent its challenge."""
    return {
        "kind": "hello",
        "role": role,
        "index": index,
        "proof": proof(secret, f"{role} {index}", str(challenge)),
        "nonce": own_nonce,
        "process": {"word": "Whereabouts", **asdict(Whereabouts.own())},
    }


def _speaker(word: e.AgentWord | e.WorkerWord) -> int:
    """Whose word it is: an agent's index, or a worker's number."""
    if isinstance(word, (e.AgentJoined, e.AgentRoom, e.AgentLeaves, e.PartEnded)):
        return word.agent
    if isinstance(word, e.WorkerReady):
        return word.member.number
    if isinstance(word, (e.WorkerBeat, e.WorkerBroken)):
        return word.number
    return e.agent_of(word.number)


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise WireError("a message without its object")
    return value
