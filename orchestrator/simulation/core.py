"""What the simulator asks of a scheduler: `scheduling.state.State` is one."""

from __future__ import annotations

from typing import Protocol

from orchestrator.scheduling.decisions import Decisions
from orchestrator.scheduling.deltas import Delta
from orchestrator.spec.policy import Policy


class Core(Protocol):
    """A scheduler's state, changed in place by the simulation that owns it."""

    def apply(self, delta: Delta, now: float) -> None:
        """Take in what has happened."""

    def decide(self, policy: Policy, now: float) -> Decisions:
        """What to do now; changes nothing."""

    def carry_out(self, decisions: Decisions, now: float) -> None:
        """As if all of it had been asked for."""
