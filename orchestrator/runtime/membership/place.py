"""What an agent sees of its run's membership, whether it coordinates or another does. Implementation: `seat`."""

from __future__ import annotations

from typing import Protocol

from orchestrator.runtime.membership.events import (
    AgentLeaves,
    AgentRoom,
    Instruction,
    PartEnded,
    Stopping,
    Wanted,
    WorkerDone,
    WorkerGone,
    WorkerRuns,
    WorkerStarted,
)

OwnWord = AgentRoom | AgentLeaves | PartEnded | WorkerStarted | WorkerRuns | WorkerGone | WorkerDone | Wanted | Stopping
"""What an agent says: of its room, of its own workers, and what control.json wants (each agent reads it; only the
coordinator's word counts)."""


class AgentPlace(Protocol):
    """An agent's place among the agents of its run. For one thread; nothing but `turn` waits."""

    @property
    def coordinates(self) -> bool:
        """Whether this agent coordinates now; it alone writes `started`, `resized` and `finished`."""
        ...

    def tell(self, word: OwnWord) -> None:
        """Say what happened here. What concerns workers is kept, and told again to each new coordinator."""
        ...

    def turn(self, seconds: float) -> tuple[Instruction, ...]:
        """Move messages for at most so long; less where there is something to do, or the file it watches is readable.

        Returns:
            What this agent is to do: `StartWorker` and `EndWorker` for its own workers; `StopWorkers`, `EndRun` and
            `StandDown` like all others; where
            it coordinates also each `Publish`, for the event that tells of it (the view is written and pushed already).
        """
        ...

    def close(self) -> None:
        """Give up the place; connections end."""
        ...
