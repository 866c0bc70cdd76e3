"""The scheduler's core: `advance`, a pure fold over what happens, and `decide`, the same from nothing."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.scheduling.decisions import Decisions
from orchestrator.scheduling.deltas import Delta
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.spec.policy import Policy


def decide(snapshot: Snapshot, policy: Policy) -> Decisions:
    """What to do now. Pure, total and deterministic: the order of the snapshot's tuples does not count."""
    return State.of(snapshot).decide(policy, snapshot.now)


def advance(state: State, deltas: Iterable[Delta], now: float, policy: Policy) -> tuple[State, Decisions]:
    """Take in what has happened, decide, and carry the decisions out; `state` itself is not changed.

    Its decisions are those of `decide` for the snapshot of the state after the deltas.
    """
    after = state.copy()
    for delta in deltas:
        after.apply(delta, now)
    decisions = after.decide(policy, now)
    after.carry_out(decisions, now)
    return after, decisions
