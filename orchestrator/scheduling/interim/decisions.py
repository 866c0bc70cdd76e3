"""What a policy says: for each pending job a start or a reason to wait."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.lifecycle.reasons import Reason


@dataclass(frozen=True)
class Start:
    """Start this job now.

    Attributes:
        job: identifier.
        workers: its world size.
        slots: what it takes.
    """

    job: str
    workers: int
    slots: int


@dataclass(frozen=True)
class Wait:
    """Do not start this job now."""

    job: str
    reason: Reason


@dataclass(frozen=True)
class Decisions:
    """One decision for each pending job, in the order of the queue."""

    starts: tuple[Start, ...] = ()
    waits: tuple[Wait, ...] = ()
