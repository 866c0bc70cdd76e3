"""Short words for small clusters, jobs and decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from orchestrator.scheduling.cluster import Demand, Node, Placement, Share, workers_of
from orchestrator.scheduling.decisions import Decisions
from orchestrator.scheduling.deltas import Gone, Pends, Runs
from orchestrator.scheduling.fold import advance, decide
from orchestrator.scheduling.jobs import Estimate, Job, Running
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.spec.policy import Policy

HOUR = 3600.0
NOW = 100 * HOUR


def job(number: int, fewest: int = 1, most: int | None = None, *, packed: bool = True, **more: Any) -> Job:
    """Job `j-<number>`, submitted in the order of its number."""
    base = {"submitted": float(number), "waits_since": float(number)} | more
    return Job(f"j-{number}", number, demand=Demand(fewest, most or fewest, packed=packed), **base)


def expects(seconds: float) -> Estimate:
    """An exact estimate."""
    return Estimate(seconds, 0.0)


def on(**workers: int) -> Placement:
    """`on(a=4, b=8)`: four workers on node a and eight on node b."""
    return tuple(sorted(Share(node, count) for node, count in workers.items()))


def runs(job: Job, since: float = 0.0, /, *, pinned: bool = False, saved: float | None = None, **at: int) -> Running:
    """It runs there since then."""
    return Running(job, on(**at), since, since, since, saved=saved, pinned=pinned)


def snapshot(*jobs: Job | Running, now: float = NOW, slots: int = 8, nodes: str = "a", **more: Any) -> Snapshot:
    """A cluster of nodes named by a letter each."""
    return Snapshot(
        now,
        tuple(Node(name, slots) for name in nodes),
        tuple(item for item in jobs if isinstance(item, Job)),
        tuple(item for item in jobs if isinstance(item, Running)),
        **more,
    )


def started(decisions: Decisions) -> dict[str, int]:
    """Workers of those that start."""
    return {start.job: start.workers for start in decisions.starts}


def stopped(decisions: Decisions) -> list[str]:
    """Who is preempted."""
    return sorted(preempt.job for preempt in decisions.preempts)


def resized(decisions: Decisions) -> dict[str, int]:
    """New widths."""
    return {resize.job: workers_of(resize.placement) for resize in decisions.resizes}


def settle(found: Snapshot, policy: Policy) -> tuple[Snapshot, list[Decisions]]:
    """Decide at one instant, obeyed at once, until nothing more is decided; all decisions on the way."""
    state, made = State.of(found), []
    deltas: list[Pends | Runs | Gone] = []
    for _ in range(100):
        state, decisions = advance(state, deltas, found.now, policy)
        if not decisions:
            return state.snapshot(found.now), made
        made.append(decisions)
        deltas = [_obeyed(run, found.now) for run in state.running.values() if run.keeps is not None]
    raise AssertionError("the policy does not come to rest")


def _obeyed(run: Running, now: float) -> Pends | Runs:
    job = replace(run.job, worked=run.worked(now), attained=run.attained(now))
    if not run.keeps:
        return Pends(replace(job, preemptions=job.preemptions + 1, waits_since=now))
    return Runs(replace(run, job=job, placement=run.keeps, keeps=None, counted=now, resized=now))


__all__ = [
    "HOUR",
    "NOW",
    "Node",
    "decide",
    "expects",
    "job",
    "on",
    "resized",
    "runs",
    "settle",
    "snapshot",
    "started",
    "stopped",
]
