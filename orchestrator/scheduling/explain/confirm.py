"""Whether a job would start: what is decided is carried out, who was asked to stop stops, and it is decided again."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.scheduling.cluster import Placement
from orchestrator.scheduling.deltas import Delta, Pends, Runs
from orchestrator.scheduling.jobs import Job, Running
from orchestrator.scheduling.state import State
from orchestrator.spec.policy import Policy

_ROUNDS = 4


def starts(state: State, now: float, policy: Policy, job: str) -> Placement | None:
    """Where a waiting job starts, now or once room that is being freed for it is free; None where it does not.

    The state is brought there.
    """
    for _ in range(_ROUNDS):
        decisions = state.decide(policy, now)
        state.carry_out(decisions, now)
        if job in state.running:
            return state.running[job].placement
        if job not in state.pending or state.pending[job].claim is None:
            return None
        settle(state, now)
    return None


def stopped_for(state: State, now: float, policy: Policy, job: str) -> list[str]:
    """Running jobs that are preempted for a waiting one at once."""
    decisions = state.decide(policy, now)
    return [preempt.job for preempt in decisions.preempts if preempt.for_job == job]


def settle(state: State, now: float) -> None:
    """Whoever was asked to stop or to shrink has done so."""
    for delta in settled(state, now):
        state.apply(delta, now)


def settled(state: State, now: float) -> list[Delta]:
    """What is true once whoever was asked to stop or to shrink has done so."""
    asked = [running for running in state.running.values() if running.keeps is not None]
    return [Pends(_preempted(r, now)) if r.stopping else Runs(_shrunk(r, now)) for r in asked]


def _preempted(running: Running, now: float) -> Job:
    kept = running.worked(now) if running.saves or running.saved is None else running.saved
    return replace(
        running.job,
        worked=kept,
        attained=running.attained(now),
        preemptions=running.job.preemptions + 1,
        waits_since=now,
    )


def _shrunk(running: Running, now: float) -> Running:
    assert running.keeps is not None
    job = replace(running.job, worked=running.worked(now), attained=running.attained(now))
    return replace(running, job=job, placement=running.keeps, keeps=None, counted=now, resized=now)
