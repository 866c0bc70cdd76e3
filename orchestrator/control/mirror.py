"""The scheduler's state kept between passes: of a long queue only what has changed is told to it."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.scheduling.decisions import Decisions
from orchestrator.scheduling.deltas import Delta, Gone, NodeGone, NodeIs, Pends, Runs, Teams
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.spec.policy import Policy


class Mirror:
    """Decides as `fold.decide` does for each snapshot.

    The store is the truth: what was decided is not taken for done, it is seen in the next snapshot.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._state: State | None = None

    def decide(self, snapshot: Snapshot) -> Decisions:
        """What to do now."""
        state = self._take_to(snapshot)
        decisions = state.decide(self._policy, snapshot.now)
        self._state = state  # where something went wrong, the next pass begins anew
        return decisions

    def copy_at(self, snapshot: Snapshot) -> State:
        """A state of this snapshot, for somebody else to work with."""
        state = self._take_to(snapshot)
        state.queue(self._policy, snapshot.now)  # kept in order here, not made anew for each copy
        self._state = state
        return state.copy()

    def _take_to(self, snapshot: Snapshot) -> State:
        state, self._state = self._state, None
        if state is None or _must_begin_anew(state, snapshot):
            return State.of(snapshot)
        for delta in [*_deltas(state, snapshot)]:
            state.apply(delta, snapshot.now)
        return state


def _must_begin_anew(state: State, snapshot: Snapshot) -> bool:
    """Where a job waits while its last run still holds slots, or what never changes has changed."""
    running = {found.job.id for found in snapshot.running}
    both = any(job.releasing and job.id in running for job in snapshot.pending)
    both = both or not state.pending.keys().isdisjoint(state.running)
    return both or (state.max_workers, state.slot_kind) != (snapshot.max_workers, snapshot.slot_kind)


def _deltas(state: State, snapshot: Snapshot) -> Iterator[Delta]:
    """From what the state knows to what is so."""
    there = {job.id for job in snapshot.pending} | {running.job.id for running in snapshot.running}
    yield from (Gone(job) for known in (state.pending, state.running) for job in known if job not in there)
    nodes = {node.name for node in snapshot.nodes}
    yield from (NodeGone(name) for name in state.nodes if name not in nodes)
    yield from (NodeIs(node) for node in snapshot.nodes if state.nodes.get(node.name) != node)
    for running in snapshot.running:
        if state.running.get(running.job.id) != running:
            yield Runs(running)
    for job in snapshot.pending:
        known = state.pending.get(job.id)
        if known is not job and known != job:
            yield Pends(job)
    if (state.teams, state.usage) != (snapshot.teams, snapshot.usage):
        yield Teams(snapshot.teams, snapshot.usage)
