"""The states of a job, of a run and of a trial, and the arrows between a job's."""

from __future__ import annotations

from enum import StrEnum

from orchestrator.base.errors import IllegalMove


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"  # waits for its turn, for a dependency or for a back-off; the reason says which
    HELD = "held"  # waits until somebody releases it; an engine with a queue of its own may hold its run
    STARTING = "starting"  # a run was written down and its launch is asked for; it may wait in the engine's queue
    RUNNING = "running"  # its ranks run
    RESIZING = "resizing"  # its world size is being changed
    RECOVERING = "recovering"  # its run was lost, failed or was preempted; queued again after a back-off
    CANCELLING = "cancelling"  # somebody cancelled it; its resources are not free yet
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether nothing follows (a retry makes it QUEUED again on demand)."""
        return self in TERMINAL

    @property
    def clause(self) -> str:
        """What a sentence says of a job in this state: `has failed`, `is running`."""
        return _CLAUSES.get(self, f"is {self}")


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})

_CLAUSES = {
    JobState.RESIZING: "is being resized",
    JobState.CANCELLING: "is being cancelled",
    JobState.SUCCEEDED: "has succeeded",
    JobState.FAILED: "has failed",
    JobState.CANCELLED: "was cancelled",
}

_S = JobState
ARROWS: dict[JobState, frozenset[JobState]] = {
    _S.QUEUED: frozenset({_S.STARTING, _S.HELD, _S.CANCELLING, _S.CANCELLED, _S.FAILED}),
    _S.HELD: frozenset({_S.QUEUED, _S.STARTING, _S.CANCELLING, _S.CANCELLED, _S.FAILED}),
    _S.STARTING: frozenset({_S.RUNNING, _S.SUCCEEDED, _S.RECOVERING, _S.FAILED, _S.CANCELLING, _S.HELD}),
    _S.RUNNING: frozenset({_S.SUCCEEDED, _S.RESIZING, _S.RECOVERING, _S.FAILED, _S.CANCELLING}),
    _S.RESIZING: frozenset({_S.RUNNING, _S.SUCCEEDED, _S.RECOVERING, _S.FAILED, _S.CANCELLING}),
    _S.RECOVERING: frozenset({_S.QUEUED, _S.FAILED, _S.CANCELLING}),
    _S.CANCELLING: frozenset({_S.CANCELLED, _S.SUCCEEDED}),
    _S.SUCCEEDED: frozenset(),
    _S.FAILED: frozenset({_S.QUEUED}),  # `retry` by a person
    _S.CANCELLED: frozenset({_S.QUEUED}),  # `retry` by a person
}


def check_move(job: str, old: JobState, new: JobState) -> None:
    """Refuse a move that the life cycle does not have.

    Raises:
        IllegalMove: always a programming error.
    """
    if new not in ARROWS[old]:
        raise IllegalMove(f"job {job}: {old} -> {new} is not an arrow of the life cycle")


class RunState(StrEnum):
    """Where a run stands."""

    CREATED = "created"  # written down; the engine has not been asked, or its answer is not known
    LAUNCHED = "launched"  # the engine accepted it
    RUNNING = "running"  # its ranks run
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"  # ended because it was asked to
    LOST = "lost"  # absent from its engine for longer than the stated time

    @property
    def terminal(self) -> bool:
        """Whether the run is over."""
        return self in {RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED, RunState.LOST}


class GrowthState(StrEnum):
    """Where an allocation stands by which a run grew on an engine with a queue of its own."""

    CREATED = "created"  # written down; the engine has not been asked, or its answer is not known
    LAUNCHED = "launched"  # the engine accepted it
    RUNNING = "running"  # the engine started it
    ENDED = "ended"  # the engine holds nothing for it any more


class TrialState(StrEnum):
    """Where a trial stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    STOPPED = "stopped"  # ended early by the search's scheduler
    FAILED = "failed"
