"""A rank's durable word on how it ended, which counts for more than its exit code."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orchestrator.base.files import read_json, write_json
from orchestrator.rundir.layout import RunDirectory

RANK_FINISHED = "rank_finished"

WorkerOutcome = Literal["succeeded", "failed", "stopped", "left"]
"""`left`: it went in good order while the run goes on."""


def rank_writer(rank: int) -> str:
    """A rank's name among the writers of events and logs."""
    return f"rank-{rank}"


@dataclass(frozen=True)
class Marker:
    """What a rank said last."""

    outcome: WorkerOutcome
    message: str
    failure_class: str | None
    time: float

    @classmethod
    def of(cls, time: float, data: Mapping[str, Any]) -> Marker:
        """From an event's data."""
        return cls(data["outcome"], str(data.get("message", "")), data.get("failure_class"), time)


def promises_marker(run: RunDirectory, rank: int) -> bool:
    """Whether the rank made itself known (RunContext): it then owes a marker, and exit code 0 alone is no success."""
    return (run.events / rank_writer(rank)).is_dir()


def read_marker(run: RunDirectory, rank: int) -> Marker | None:
    """The rank's marker, which is the last of its events; None where it left none."""
    folder = run.events / rank_writer(rank)
    last = max((p for p in folder.glob("*.json") if p.stem.isdigit()), default=None) if folder.is_dir() else None
    document = read_json(last) if last is not None else None
    if document is None or document.get("kind") != RANK_FINISHED:
        return None
    return Marker.of(float(document["time"]), document["data"])


def leave_will(run: RunDirectory, rank: int, message: str) -> None:
    """Say what the rank dies of, of its engine's class, if it now dies without a marker.

    Raises:
        OSError: it could not be written.
    """
    data = {"outcome": "failed", "message": message, "failure_class": "infrastructure"}
    write_json(_will(run, rank), {"time": time.time(), "data": data})


def withdraw_will(run: RunDirectory, rank: int) -> None:
    """If it dies now, it is of something else."""
    _will(run, rank).unlink(missing_ok=True)


def read_will(run: RunDirectory, rank: int) -> Marker | None:
    """What is to be taken for the word of a rank that died without one."""
    document = read_json(_will(run, rank))
    return None if document is None else Marker.of(float(document["time"]), document["data"])


def _will(run: RunDirectory, rank: int) -> Path:
    return run.path / f"{rank_writer(rank)}-will.json"
