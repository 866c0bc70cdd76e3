"""What Slurm's job states mean to us: pending, running or ended, and which class of failure ended it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from orchestrator.backends.protocol import AllocationState, Observation
from orchestrator.backends.slurm.reasons import wait_of
from orchestrator.backends.slurm.tables import AccountRow, JobRow
from orchestrator.base.text import one_line
from orchestrator.lifecycle.failures import FailureClass


@dataclass(frozen=True)
class Asked:
    """What is known here of an allocation that somebody asks about.

    Attributes:
        allocation: `<run>.<n>`: the name of its Slurm job; the comment is the run.
        job: Slurm's number of it; empty where sbatch's answer was lost.
        submitted: when it was written down, seconds since the epoch.
        limit_is_users: its time limit is one that the user, or the cluster's profile, set; otherwise it is our guess.
        cancelled: we have asked Slurm to cancel it.
        log: where its output goes, for people.
    """

    allocation: str
    job: str = ""
    submitted: float = 0.0
    limit_is_users: bool = False
    cancelled: bool = False
    log: str = ""


@dataclass(frozen=True)
class End:
    """How Slurm says that a job ended.

    Attributes:
        job: its number.
        state: in Slurm's words.
        reason: in Slurm's words; empty where it is not known.
        code: exit status and signal, `0:53`; empty where it is not known.
        by: who cancelled it; empty where it is not known.
        nodes: that it had.
    """

    job: str
    state: str
    reason: str = ""
    code: str = ""
    by: str = ""
    nodes: tuple[str, ...] = ()


_PENDING = frozenset(
    ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT")
)
_TASKS = re.compile(r"(\d+)(?:-(\d+))?(?::([1-9]\d*))?")
_ALIVE = {
    "RUNNING": "",
    "COMPLETING": "it is ending: Slurm waits for its processes and for the epilog",
    "RESIZING": "its nodes are being changed",
    "SIGNALING": "it is being signalled",
    "STAGE_OUT": "its burst buffer is being written back",
    "STOPPED": "somebody stopped it (SIGSTOP) and it keeps its nodes; continue it with scontrol resume {job}",
    "SUSPENDED": "somebody suspended it in Slurm; continue it with scontrol resume {job}",
    "EXPEDITING": "it has ended, and Slurm starts it anew",
    "UPDATE_DB": "",
}


def is_pending(state: str) -> bool:
    """Whether a job in this state has not begun."""
    return state in _PENDING


def is_over(state: str) -> bool:
    """Whether a job in this state will never run again; an unknown state is taken for one of a living job."""
    return state in _ENDS


class _Row(Protocol):
    @property
    def state(self) -> str: ...


R = TypeVar("R", bound=_Row)


def counting(rows: Sequence[R]) -> R:
    """Of the tasks of one job, the one that is furthest from its end; among those that are over, one that failed."""

    def rank(row: R) -> int:
        if is_pending(row.state):
            return 1
        if is_over(row.state):
            return 3 if row.state == "COMPLETED" else 2
        return 0

    return min(rows, key=rank)


def seen(rows: Sequence[JobRow], asked: Asked, by: str = "") -> Observation:
    """An allocation as squeue shows it.

    Args:
        rows: of its job: one, or the tasks of an array.
        asked: what is known of it.
        by: who cancelled it, where accounting has said so.
    """
    row = counting(rows)
    nodes = tuple(dict.fromkeys(node for one in rows if not is_over(one.state) for node in one.nodes))
    if is_over(row.state):
        end = End(row.job, row.state, row.reason, by=by, nodes=row.nodes)
        return ended(end, asked, partition=row.partition, since=row.start if row.nodes else None)
    if is_pending(row.state):
        return Observation(
            AllocationState.PENDING,
            engine_id=row.job,
            partition=row.partition,
            waits=wait_of(row),
            nodes=nodes,
        )
    detail = _ALIVE.get(row.state, f"Slurm calls its state {one_line(row.state)}").format(job=row.job)
    return Observation(
        AllocationState.RUNNING,
        detail=detail,
        engine_id=row.job,
        partition=row.partition,
        nodes=nodes,
        since=row.start,
        ends=row.ends,
        tasks=sum(_tasks(one) for one in rows if is_pending(one.state)),
    )


def _tasks(row: JobRow) -> int:
    """How many pending tasks a row stands for: `3-9,12%4` are eight, of which four may run at a time."""
    parts = _TASKS.findall(row.task.partition("%")[0])
    return sum(len(range(int(first), int(last or first) + 1, int(step or 1))) for first, last, step in parts)


def remembered(row: AccountRow, asked: Asked) -> Observation:
    """An allocation that only accounting knows, and that is over there."""
    end = End(row.job, row.state, code=row.code, by=row.by, nodes=row.nodes)
    return ended(end, asked, since=row.start if row.nodes else None)


def ended(end: End, asked: Asked, *, partition: str = "", since: float | None = None) -> Observation:
    """An allocation that is over.

    Raises:
        KeyError: the state is not one of a job that is over.
    """
    failure, detail = _ENDS[end.state](end, asked)
    return Observation(
        AllocationState.ENDED,
        failure_class=failure,
        detail=detail,
        engine_id=end.job,
        partition=partition,
        nodes=end.nodes,
        since=since,
        by_itself=failure is FailureClass.INFRASTRUCTURE and end.state in _BY_ITSELF,
    )


Verdict = tuple[FailureClass | None, str]


def _silent(end: End, asked: Asked) -> Verdict:
    """It ended by itself: well, if the run has said so; otherwise without a word."""
    if asked.cancelled:
        return None, f"Slurm's job {end.job} is over, as it was told"
    if end.reason == "OutOfMemory":
        return _out_of_memory(end, asked)
    if end.code == "0:53" or end.reason == "JobLaunchFailure":
        what = "was killed by a signal, or could not be started (its output file or its folder cannot be used)"
        what = "could not be started: its output file or its folder cannot be used" if end.code == "0:53" else what
    else:
        what = f"ended as {end.state}{_with_code(end.code)}"
    return FailureClass.INFRASTRUCTURE, f"Slurm's job {end.job}{_on(end)} {what}{_see(asked)}"


def _cancelled(end: End, asked: Asked) -> Verdict:
    if asked.cancelled:
        return None, f"Slurm's job {end.job} is cancelled"
    text = f"{end.by or 'somebody'} cancelled Slurm's job {end.job} by Slurm's own means (scancel)"
    return FailureClass.PERMANENT, f"{text}, not by orchestrator cancel; to run it after all: orchestrator retry"


def _time_limit(end: End, asked: Asked) -> Verdict:
    if asked.limit_is_users:
        return FailureClass.TIME_LIMIT, f"Slurm ended job {end.job} at its time limit"
    return FailureClass.PREEMPTED, f"Slurm ended job {end.job} at a time limit that was our estimate"


def _preempted(end: End, asked: Asked) -> Verdict:
    return FailureClass.PREEMPTED, f"Slurm preempted job {end.job}{_on(end)} for others"


def _out_of_memory(end: End, asked: Asked) -> Verdict:
    text = f"Slurm's job {end.job}{_on(end)} used more memory than it had asked for"
    return FailureClass.OUT_OF_MEMORY, f"{text}; ask for more: resources.memory_per_worker{_see(asked)}"


def _lost(what: str) -> Callable[[End, Asked], Verdict]:
    def verdict(end: End, asked: Asked) -> Verdict:
        return FailureClass.INFRASTRUCTURE, f"Slurm's job {end.job}: {what}{_on(end)}"

    return verdict


_BY_ITSELF = frozenset(("COMPLETED", "FAILED"))
_ENDS: dict[str, Callable[[End, Asked], Verdict]] = {
    "COMPLETED": _silent,
    "FAILED": _silent,
    "CANCELLED": _cancelled,
    "TIMEOUT": _time_limit,
    "DEADLINE": _time_limit,
    "PREEMPTED": _preempted,
    "OUT_OF_MEMORY": _out_of_memory,
    "NODE_FAIL": _lost("a node was lost"),
    "BOOT_FAIL": _lost("a node did not boot"),
    "LAUNCH_FAILED": _lost("a node could not start it"),
    "RECONFIG_FAIL": _lost("a node could not be configured for it"),
    "REVOKED": _lost("another cluster of the federation took it"),
}


def _with_code(code: str) -> str:
    status, _, number = code.partition(":")
    if number not in {"", "0"}:
        return f" (signal {number})"
    return f" (exit status {status})" if status not in {"", "0"} else ""


def _on(end: End) -> str:
    if not end.nodes:
        return ""
    shown = ", ".join(end.nodes[:4]) + (f" and {len(end.nodes) - 4} more" if len(end.nodes) > 4 else "")
    return f" on {shown}"


def _see(asked: Asked) -> str:
    return f"; its last words: {asked.log}" if asked.log else ""
