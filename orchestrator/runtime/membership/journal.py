"""What an agent remembers of itself, to tell it to each coordinator that comes after the one before."""

from __future__ import annotations

from orchestrator.runtime.membership import events as e
from orchestrator.runtime.membership.place import OwnWord


class Journal:
    """An agent's room, its workers, and what control.json wants.

    Args:
        agent: index of its allocation.
        room: workers that it can hold at a time.
        next_number: the lowest number of its range that is free.
        node: what the engine calls its machine.
    """

    def __init__(self, agent: int, room: int, next_number: int, node: str = "") -> None:
        self._agent = agent
        self._node = node
        self._room = room
        self._next = next_number
        self._live: set[int] = set()
        self._ended: dict[int, e.WorkerGone | e.WorkerDone] = {}
        self._leaves: list[e.AgentLeaves] = []
        self._part: list[e.PartEnded] = []
        self._wishes: dict[type, e.Wanted | e.Stopping] = {}

    def note(self, word: OwnWord) -> None:
        """Remember a word."""
        match word:
            case e.AgentRoom():
                self._room = word.room
            case e.AgentLeaves():
                self._room, self._leaves = 0, [word]
            case e.PartEnded():
                self._part = [word]
            case e.WorkerStarted():
                self._live.add(word.number)
                self._use(word.number)
            case e.WorkerGone() | e.WorkerDone():
                self._live.discard(word.number)
                self._ended[word.number] = word
                self._use(word.number)
            case e.Wanted() | e.Stopping():
                self._wishes[type(word)] = word

    def told(self, number: int) -> None:
        """The agent was told to start this worker: the number is used, whatever comes of it."""
        self._use(number)

    def words(self) -> list[e.AgentWord]:
        """What a coordinator must know, in this order: who has ended, who is there, whether this agent goes."""
        joined = e.AgentJoined(self._agent, self._room, self._next, tuple(sorted(self._live)), self._node)
        return [*self._ended.values(), joined, *self._leaves, *self._part]

    def wishes(self) -> list[e.Wanted | e.Stopping]:
        """What control.json wants; only the coordinator's own agent says so."""
        return list(self._wishes.values())

    def _use(self, number: int) -> None:
        self._next = max(self._next, number + 1)
