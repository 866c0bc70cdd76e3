"""Who starts when, who ends why, and how a gang on several nodes ended: a pure class, told what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from orchestrator.base.text import counted
from orchestrator.runtime.membership import events as e
from orchestrator.runtime.outcome import Outcome

Event = e.AgentJoined | e.AgentLeaves | e.AgentGone | e.PartEnded | e.Tick
Order = tuple[int | None, e.StartPart | e.StopWorkers | e.EndRun]
"""For one agent; None: for all of them."""

_GRACE = 20.0
"""For the others, where an agent has stopped that had told nobody."""


class GangRules:
    """What the lead knows and decides. Agents have numbers from 0, which leads.

    Args:
        agents: of the gang.
        shared: agent 0 starts one process that uses what the others have: their loss is its affair, and nobody waits
            for them.
        begin: called once, when ranks start: where they meet.
        name: of an agent's node, for people.
        come_within: seconds that agents may take to come.
        end_within: seconds that agents may take to end once they are told to.
    """

    def __init__(
        self,
        agents: int,
        *,
        shared: bool,
        begin: Callable[[], e.StartPart],
        name: Callable[[int], str],
        come_within: float = 300.0,
        end_within: float = 60.0,
    ) -> None:
        self._agents = agents
        self._shared = shared
        self._begin = begin
        self._name = name
        self._come_within = come_within
        self._end_within = end_within
        self._here: set[int] = set()
        self._lost: set[int] = set()
        self._parts: dict[int, e.PartEnded] = {}
        self._start: e.StartPart | None = None
        self._stop: e.StopWorkers | None = None
        self._end: e.EndRun | None = None
        self._born: float | None = None
        self._ended_at = 0.0
        self._outcome: Outcome | None = None

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended; None until every part has ended, or is lost, or was waited for long enough."""
        return self._outcome

    def handle(self, event: Event, now: float) -> list[Order]:
        """Note one event and say what is to be done.

        Args:
            event: what happened.
            now: monotonic seconds.
        """
        self._born = now if self._born is None else self._born
        return [*self._note(event), *self._decide(now)]

    def _note(self, event: Event) -> Iterator[Order]:
        match event:
            case e.AgentJoined(agent):
                self._here.add(agent)
                # What it was told before may have been lost with its connection.
                yield from [(agent, word) for word in (self._start, self._stop, self._end) if word is not None]
            case e.AgentLeaves() if self._stop is None and self._end is None:
                self._stop = e.StopWorkers(event.cause, event.grace_seconds)
                yield None, self._stop
            case e.PartEnded():
                self._parts.setdefault(event.agent, event)
                if event.outcome == "stopped" and self._stop is None and self._end is None:
                    self._stop = e.StopWorkers(event.cause or "drain", _GRACE)
                    yield None, self._stop
            case e.AgentGone() if event.agent not in self._parts:
                self._lost.add(event.agent)

    def _decide(self, now: float) -> Iterator[Order]:
        if self._end is None:
            self._end = self._why_end(now)
            if self._end is not None:
                self._ended_at = now
                yield None, self._end
        if self._end is None and self._start is None and (self._shared or len(self._here) == self._agents):
            self._start = self._begin()
            yield None, self._start
        awaited = self._here - self._lost - self._parts.keys()
        if self._end is not None and (not awaited or now - self._ended_at > self._end_within):
            self._outcome = self._outcome or self._judge(self._end)

    def _why_end(self, now: float) -> e.EndRun | None:
        if self._stop is not None and self._start is None:
            return e.EndRun("stopped", "stopped before anything was started")
        if self._shared:
            own = self._parts.get(0)
            return None if own is None else e.EndRun(own.outcome, own.message, own.failure_class)
        if self._lost and self._stop is None:
            return e.EndRun("failed", self._losses(), "infrastructure")
        failed = [part for part in self._parts.values() if part.outcome == "failed"]
        if failed and self._stop is None:
            return e.EndRun("failed", failed[0].message, failed[0].failure_class)
        if self._start is None and self._born is not None and now - self._born > self._come_within:
            return e.EndRun("failed", self._absence(), "infrastructure")
        if len(self._parts) + len(self._lost) == self._agents:
            return e.EndRun("stopped" if self._stop else "succeeded", "every part has ended")
        return None

    def _judge(self, end: e.EndRun) -> Outcome:
        """The end in the words of the part that knows most of it."""
        parts = [self._parts[agent] for agent in sorted(self._parts)]
        if self._shared and 0 in self._parts:
            return outcome_of(self._parts[0])
        if self._stop is not None:
            return self._stopped(parts, self._stop.cause)
        guilty = [part for part in parts if part.outcome == "failed" and not part.elsewhere]
        if self._lost or (end.outcome == "failed" and not guilty):
            return Outcome("failed", self._losses() if self._lost else end.message, end.failure_class)
        if guilty:
            return outcome_of(min(guilty, key=lambda part: (not part.killed, part.time, part.agent)))
        return outcome_of(parts[0])

    def _stopped(self, parts: Sequence[e.PartEnded], cause: str) -> Outcome:
        """Work that was complete all the same has succeeded."""
        if len(parts) == self._agents and all(part.outcome == "succeeded" for part in parts):
            return outcome_of(parts[0])
        message = next((part.message for part in parts if part.outcome == "stopped"), f"stopped: {cause}")
        return Outcome("stopped", message, "time_limit" if cause == "time_limit" else None, cause=cause)

    def _losses(self) -> str:
        lost = ", ".join(f"agent {agent}{self._on(agent)}" for agent in sorted(self._lost))
        return f"{lost} was lost: its node, the network to it, or the agent itself"

    def _absence(self) -> str:
        absent = ", ".join(str(agent) for agent in range(self._agents) if agent not in self._here)
        came = f"{len(self._here)} of {counted(self._agents, 'agent')} came within {self._come_within:g} s"
        return f"{came}; not {absent}: a node does not start its processes, or cannot reach the first one"

    def _on(self, agent: int) -> str:
        name = self._name(agent)
        return f" (node {name})" if name else ""


def outcome_of(part: e.PartEnded) -> Outcome:
    """A part's word as an end of the run."""
    return Outcome(part.outcome, part.message, part.failure_class, part.exit_code, part.cause)
