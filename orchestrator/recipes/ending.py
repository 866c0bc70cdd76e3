"""How a rank ended, for its durable marker."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.runtime.markers import WorkerOutcome


@dataclass(frozen=True)
class Ending:
    """What the rank's marker will say."""

    outcome: WorkerOutcome
    message: str
    failure_class: str | None = None
