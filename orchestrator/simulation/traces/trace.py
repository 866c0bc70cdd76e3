"""A recorded load, whatever layout it came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.simulation.truth import Ending

_ENDINGS: Mapping[str, Ending] = {
    "": "completed",
    "completed": "completed",
    "pass": "completed",
    "succeeded": "completed",
    "terminated": "completed",
    "failed": "failed",
    "timeout": "failed",
    "node_fail": "failed",
    "killed": "killed",
    "cancelled": "killed",
}


@dataclass(frozen=True, slots=True)
class TraceJob:
    """A job of a trace.

    Attributes:
        id: unique in the trace.
        submitted: seconds; the origin is the trace's own.
        gpus: whole ones, at least 1.
        duration: seconds that it ran.
        team: its virtual cluster or group; empty where nobody said.
        owner: who submitted it; the same.
        ends: how it ended.
        estimate: seconds that the user expected, or gave as a limit; None where nobody said.
        cpus: cores of the whole job; 0: not said.
        memory: bytes of the whole job; 0: not said.
        gpu_types: it asked for one of these; empty: any.
    """

    id: str
    submitted: float
    gpus: int
    duration: float
    team: str = ""
    owner: str = ""
    ends: Ending = "completed"
    estimate: float | None = None
    cpus: int = 0
    memory: int = 0
    gpu_types: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trace:
    """A load.

    Attributes:
        layout: in which it was written.
        jobs: by time of submission, then in the order of the file.
        left_out: jobs that cannot be simulated, counted by the reason.
        bad: rows that could not be read and were tolerated, as `file:line: what`.
    """

    layout: str
    jobs: tuple[TraceJob, ...]
    left_out: Mapping[str, int]
    bad: tuple[str, ...] = ()


def ending(word: str) -> Ending:
    """How a job ended, in the words of any of the traces.

    Raises:
        ValueError: the word is unknown.
    """
    found = _ENDINGS.get(word.strip().lower())
    if found is None:
        raise ValueError(f"the status {word[:40]!r} is none of {', '.join(w for w in _ENDINGS if w)}")
    return found
