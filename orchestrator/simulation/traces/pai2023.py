"""Alibaba PAI 2023 (Weng et al., ATC 2023): `openb_pod_list_*.csv`, one pod a row."""

from __future__ import annotations

import math
from pathlib import Path

from orchestrator.simulation.traces.rows import LeftOut, Row, one_table
from orchestrator.simulation.traces.trace import Trace, TraceJob
from orchestrator.simulation.truth import Ending

COLUMNS = frozenset({"name", "num_gpu", "pod_phase", "creation_time", "deletion_time", "scheduled_time"})
UNTIMED = frozenset({"name", "num_gpu", "gpu_milli"})
"""Columns of lists that tell what pods ask for, and not when; some of the published ones are such."""

_MIB = 2**20
_PHASES: dict[str, Ending] = {"Succeeded": "completed", "Failed": "failed", "Running": "killed"}
"""A pod that was deleted while it ran was killed."""


def read(path: Path, skip_bad: int) -> Trace:
    """All pods with a GPU that were scheduled. A share of a GPU counts as a whole one.

    Raises:
        UsageError: it cannot be read, or has more bad rows than are tolerated.
    """
    return one_table(path, skip_bad, "pai2023", _job)


def _job(row: Row) -> TraceJob:
    gpus = row.whole("num_gpu")
    if gpus == 0:
        raise LeftOut("without a GPU")
    phase = row.text("pod_phase")
    if phase == "Pending" or not row.text("scheduled_time"):
        raise LeftOut("that never started")
    if phase not in _PHASES:
        raise ValueError(f"pod_phase is {phase[:40]!r}, none of {', '.join(_PHASES)}, Pending")
    started, ended = row.number("scheduled_time"), row.number("deletion_time")
    if ended < started:
        raise ValueError("deletion_time lies before scheduled_time")
    return TraceJob(
        id=row.text("name"),
        submitted=row.number("creation_time"),
        gpus=gpus,
        duration=ended - started,
        team=row.text("qos"),
        ends=_PHASES[phase],
        cpus=math.ceil(row.number("cpu_milli") / 1_000) if row.text("cpu_milli") else 0,
        memory=row.whole("memory_mib") * _MIB if row.text("memory_mib") else 0,
        gpu_types=tuple(sorted(filter(None, row.text("gpu_spec").split("|")))),
    )
