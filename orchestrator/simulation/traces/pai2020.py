"""Alibaba PAI 2020 (Weng et al., NSDI 2022): its tables of jobs, tasks and instances, or its simulator's one table.

The tables come without header lines. A job runs from its first task's start to its last one's end, or, where the table
of instances is there, from its first instance's start to its last one's end. Shares of GPUs are added up over a job
and rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from orchestrator.base.errors import UsageError
from orchestrator.simulation.traces.rows import Collector, LeftOut, Row, one_table, table
from orchestrator.simulation.traces.trace import Trace, TraceJob, ending

MERGED = frozenset({"job_id", "num_gpu", "submit_time", "duration"})
JOB_TABLE = "pai_job_table.csv"

_JOBS = ("job_name", "inst_id", "user", "status", "start_time", "end_time")
_TASKS = (
    "job_name",
    "task_name",
    "inst_num",
    "status",
    "start_time",
    "end_time",
    "plan_cpu",
    "plan_mem",
    "plan_gpu",
    "gpu_type",
)
_INSTANCES = (
    "job_name",
    "task_name",
    "inst_name",
    "worker_name",
    "inst_id",
    "status",
    "start_time",
    "end_time",
    "machine",
)
_NOT_ENDED = {"Running", "Waiting"}


def read_merged(path: Path, skip_bad: int) -> Trace:
    """All jobs with a GPU of the one table that the trace's own simulator reads; GPUs are those of one instance.

    Raises:
        UsageError: it cannot be read, or has more bad rows than are tolerated.
    """
    return one_table(path, skip_bad, "pai2020", _merged)


def read(folder: Path, skip_bad: int) -> Trace:
    """All jobs with a GPU that ended.

    Args:
        folder: with `pai_job_table.csv`, `pai_task_table.csv`, and perhaps `pai_instance_table.csv`, gzipped or not.
        skip_bad: so many bad rows of each table are tolerated.

    Raises:
        UsageError: a table cannot be read, or has more bad rows than are tolerated.
    """
    jobs = _file(folder, "job")
    tasks = _tasks(_needed(folder, "task"), skip_bad)
    instances = _file(folder, "instance")
    spans = _spans(instances, skip_bad) if instances is not None else {}
    collector = Collector(jobs or folder, skip_bad)
    for line, row in table(_needed(folder, "job"), _JOBS):
        collector.take(line, lambda row=row: _job(row, tasks, spans))  # type: ignore[misc]
    return collector.trace("pai2020")


class _Task:
    """What the tasks of one job add up to."""

    __slots__ = ("cpus", "end", "memory", "shares", "start", "types")

    def __init__(self) -> None:
        self.shares = 0
        self.cpus = self.memory = 0.0
        self.start, self.end = math.inf, -math.inf
        self.types: set[str] = set()

    def add(self, row: Row) -> None:
        count = row.number("inst_num") if row.text("inst_num") else 1.0
        share = row.number("plan_gpu") if row.text("plan_gpu") else 0.0
        self.shares += round(count * share)
        self.cpus += count * (row.number("plan_cpu") if row.text("plan_cpu") else 0.0) / 100
        self.memory += count * (row.number("plan_mem") if row.text("plan_mem") else 0.0) * 2**30
        if share and row.text("gpu_type"):
            self.types.add(row.text("gpu_type"))
        if row.text("start_time") and row.text("end_time"):
            self.start = min(self.start, row.number("start_time"))
            self.end = max(self.end, row.number("end_time"))


def _tasks(path: Path, skip_bad: int) -> dict[str, _Task]:
    found: dict[str, _Task] = {}
    _each(path, _TASKS, skip_bad, lambda row: found.setdefault(row.text("job_name"), _Task()).add(row))
    return found


def _spans(path: Path, skip_bad: int) -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}

    def add(row: Row) -> None:
        if row.text("start_time") and row.text("end_time"):
            start, end = found.get(row.text("job_name"), (math.inf, -math.inf))
            found[row.text("job_name")] = min(start, row.number("start_time")), max(end, row.number("end_time"))

    _each(path, _INSTANCES, skip_bad, add)
    return found


def _each(path: Path, names: tuple[str, ...], skip_bad: int, add: Callable[[Row], None]) -> None:
    collector = Collector(path, skip_bad)
    for line, row in table(path, names):
        try:
            add(row)
        except ValueError as error:
            collector.bad(line, str(error))
    collector.settle()


def _job(row: Row, tasks: dict[str, _Task], spans: dict[str, tuple[float, float]]) -> TraceJob:
    name = row.text("job_name")
    task = tasks.get(name)
    if task is None or task.shares == 0:
        raise LeftOut("without a GPU")
    if row.text("status") in _NOT_ENDED:
        raise LeftOut("that had not ended")
    start, end = spans.get(name, (task.start, task.end))
    if not end >= start:
        raise LeftOut("without a start or an end")
    return TraceJob(
        id=name,
        submitted=row.number("start_time"),
        gpus=_whole(task.shares),
        duration=end - start,
        owner=row.text("user"),
        ends=ending(row.text("status")),
        cpus=math.ceil(task.cpus),
        memory=math.ceil(task.memory),
        gpu_types=tuple(sorted(task.types)),
    )


def _merged(row: Row) -> TraceJob:
    instances = row.number("num_inst") if row.text("num_inst") else 1.0
    share = row.number("num_gpu") if row.text("num_gpu") else 0.0
    if share == 0 or instances == 0:
        raise LeftOut("without a GPU")
    if row.text("status") in _NOT_ENDED:
        raise LeftOut("that had not ended")
    kind = row.text("gpu_type")
    return TraceJob(
        id=row.text("job_id"),
        submitted=row.number("submit_time"),
        gpus=_whole(round(100 * instances * share)),
        duration=row.number("duration"),
        owner=row.text("user"),
        ends=ending(row.text("status")),
        cpus=math.ceil(instances * row.number("num_cpu")) if row.text("num_cpu") else 0,
        gpu_types=(kind,) if kind and kind != "CPU" else (),
    )


def _whole(hundredths: int) -> int:
    """GPUs that so many hundredths of one need; in whole numbers, because 50 * 0.14 is more than 7 in floats."""
    return -(-hundredths // 100)


def _file(folder: Path, what: str) -> Path | None:
    names = (f"pai_{what}_table.csv", f"pai_{what}_table.csv.gz")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _needed(folder: Path, what: str) -> Path:
    found = _file(folder, what)
    if found is None:
        raise UsageError(
            f"{folder} has no pai_{what}_table.csv",
            hint="the tables of jobs and tasks are needed, that of instances is not; archives have to be unpacked",
        )
    return found
