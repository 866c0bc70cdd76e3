"""The plain table: job_id, submit_s, num_gpus, duration_s; optional: vc, status, est_s, user."""

from __future__ import annotations

from pathlib import Path

from orchestrator.simulation.traces.rows import LeftOut, Row, one_table
from orchestrator.simulation.traces.trace import Trace, TraceJob, ending

COLUMNS = frozenset({"job_id", "submit_s", "num_gpus", "duration_s"})


def read(path: Path, skip_bad: int) -> Trace:
    """All jobs of the file.

    Raises:
        UsageError: it cannot be read, or has more bad rows than are tolerated.
    """
    return one_table(path, skip_bad, "plain", _job)


def _job(row: Row) -> TraceJob:
    gpus = row.whole("num_gpus")
    if not row.text("job_id"):
        raise ValueError("job_id is missing")
    if gpus == 0:
        raise LeftOut("without a GPU")
    return TraceJob(
        id=row.text("job_id"),
        submitted=row.number("submit_s"),
        gpus=gpus,
        duration=row.number("duration_s"),
        team=row.text("vc"),
        owner=row.text("user"),
        ends=ending(row.text("status")),
        estimate=row.number("est_s") if row.text("est_s") else None,
    )
