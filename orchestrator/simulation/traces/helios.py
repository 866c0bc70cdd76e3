"""SenseTime's Helios (Hu et al., SC 2021): `cluster_log.csv`, one Slurm job a row."""

from __future__ import annotations

from pathlib import Path

from orchestrator.simulation.traces.rows import LeftOut, Row, calendar, one_table
from orchestrator.simulation.traces.trace import Trace, TraceJob, ending

COLUMNS = frozenset({"job_id", "vc", "gpu_num", "state", "submit_time", "duration"})


def read(path: Path, skip_bad: int) -> Trace:
    """All jobs with a GPU of the file.

    Raises:
        UsageError: it cannot be read, or has more bad rows than are tolerated.
    """
    return one_table(path, skip_bad, "helios", _job)


def _job(row: Row) -> TraceJob:
    gpus = row.whole("gpu_num")
    if gpus == 0:
        raise LeftOut("without a GPU")
    if not row.text("duration"):
        raise LeftOut("that never started")
    if row.text("state").upper() == "SUSPENDED":
        raise LeftOut("that had not ended")
    return TraceJob(
        id=row.text("job_id"),
        submitted=calendar(row.text("submit_time"), "submit_time"),
        gpus=gpus,
        duration=row.number("duration"),
        team=row.text("vc"),
        owner=row.text("user"),
        ends=ending(row.text("state")),
        cpus=row.whole("cpu_num") if row.text("cpu_num") else 0,
    )
