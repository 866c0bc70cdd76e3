"""From what Ray says of a job to an observation of an allocation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orchestrator.backends.protocol import AllocationState, Observation
from orchestrator.backends.ray.records import Ending, Record
from orchestrator.base.text import one_line
from orchestrator.lifecycle.failures import FailureClass
from orchestrator.rundir.allocations import run_has_finished

_ALIVE = {"PENDING": AllocationState.PENDING, "RUNNING": AllocationState.RUNNING}
_OVER = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
_CALLED_OFF = Ending(FailureClass.INFRASTRUCTURE, "called off before it started")
_FORGOTTEN = Ending(FailureClass.INFRASTRUCTURE, "ended by us; Ray does not know it any more")
_LAST_LINES = re.compile(r",? last available logs \(truncated to [\d,]+ chars\):")


def alive(record: Record, job: Mapping[str, Any]) -> Observation | None:
    """One that waits for its driver, or has one; None where it is over.

    Raises:
        KeyError, TypeError, ValueError: this is no job of Ray's.
    """
    status = job["status"]
    if status in _OVER:
        return None
    since = job.get("start_time")
    return Observation(
        _ALIVE[status],
        detail=one_line(str(job.get("message") or "")) if status == "PENDING" else "",
        engine_id=record.allocation,
        nodes=record.nodes,
        since=float(since) / 1000 if since and status == "RUNNING" else None,
    )


def has_word(record: Record) -> bool:
    """Whether its run, or its own agent, has said how it ended."""
    return record.files.has_finished() or run_has_finished(record.files.run)


def ending_of(record: Record, job: Mapping[str, Any]) -> Ending:
    """How one that Ray calls over has ended."""
    if has_word(record):
        return Ending()
    if _is_called_off(record):
        return _CALLED_OFF
    said = message_of(job)
    if job["status"] == "STOPPED" and not record.killed:
        return Ending(FailureClass.PERMANENT, f"somebody stopped Ray's job {record.allocation}: {said}")
    detail = f"{said}; see {record.files.ray_log}"
    return Ending(FailureClass.INFRASTRUCTURE, detail, by_itself=job["status"] != "STOPPED")


def unknown(record: Record) -> Ending | None:
    """What follows where Ray answers and does not know an allocation; None: only that it is absent."""
    if has_word(record):
        return Ending()
    if _is_called_off(record):
        return _CALLED_OFF
    return _FORGOTTEN if record.killed else None


def observation(record: Record, ending: Ending) -> Observation:
    """One that is over."""
    return Observation(
        AllocationState.ENDED,
        ending.failure_class,
        ending.detail,
        engine_id=record.allocation,
        nodes=record.nodes,
        by_itself=ending.by_itself,
    )


def message_of(job: Mapping[str, Any]) -> str:
    """Ray's message on one line: its first, and of the log that follows the last that Ray did not write itself."""
    first, _, log = str(job.get("message") or "Ray does not say why").partition("\n")
    lines = [line for line in log.splitlines() if line.strip() and not line.startswith("Running entrypoint for job")]
    told = one_line(_LAST_LINES.sub("", first), 150)
    return f"{told}: {one_line(lines[-1], 150)}" if lines else told


def _is_called_off(record: Record) -> bool:
    claim = record.files.read_claim()
    return claim is not None and claim.guard is None
