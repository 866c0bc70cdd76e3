"""Sends spooled records to a tracking target: in each writer's order, each (run, metric, step) once.

A cursor is saved only after what it covers was sent, so nothing is lost; where the process is killed in between, the
records are read again, and what the target has already is left out. Runs are found again by their key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.base.paths import inside
from orchestrator.rundir.layout import JobDirectory
from orchestrator.tracking.cursors import Cursors, all_jobs, load_cursors, pending, save_cursors, writers
from orchestrator.tracking.protocol import Measurement, Target, TrackerRefused, safe_name
from orchestrator.tracking.records import Artifact, End, Metrics, Record, Start
from orchestrator.tracking.spool import read_segment

SEGMENTS_AT_ONCE = 64
"""Files of one writer that are sent between two savings of its cursor."""


@dataclass(frozen=True)
class Pass:
    """What one pass over all spools did: records sent, files that still wait, refusals."""

    sent: int = 0
    pending: int = 0
    refused: tuple[str, ...] = ()


@dataclass
class _OpenRun:
    """A run of the target, and what it has: (metric, step) pairs."""

    run: str
    sent: set[tuple[str, int]] = field(default_factory=set)


class Replay:
    """Sends the spools of all jobs under a runs root.

    Args:
        runs_root: the folder that holds `jobs/`.
        uri: names the target in the cursors.
        target: where records go.
    """

    def __init__(self, runs_root: Path, uri: str, target: Target) -> None:
        self._root = runs_root
        self._uri = uri
        self._target = target
        self._runs: dict[str, _OpenRun] = {}
        self._quiet: dict[Path, tuple[tuple[str, int], ...]] = {}

    def step(self) -> Pass:
        """Send what waits, once over all jobs.

        Raises:
            TrackerUnavailable: the target does not answer; what was sent before is remembered.
        """
        sent, waiting, refused = 0, 0, []
        for job in all_jobs(self._root):
            marks = _marks(job)
            if self._quiet.get(job.path) == marks:
                continue
            cursors = load_cursors(job, self._uri)
            for folder in writers(job):
                cursors, count, refusals = self._send_writer(job, folder, cursors)
                sent += count
                refused += refusals
            left = pending(job, cursors)
            waiting += left
            if not left:
                self._quiet[job.path] = marks
        return Pass(sent, waiting, tuple(refused))

    def _send_writer(self, job: JobDirectory, folder: Path, cursors: Cursors) -> tuple[Cursors, int, list[str]]:
        start = cursors.of(folder.name)
        records: list[Record] = []
        number = start
        while number < start + SEGMENTS_AT_ONCE and (found := read_segment(folder, number)) is not None:
            records += found
            number += 1
        if number == start:
            return cursors, 0, []
        refused = self._send(job, records)
        cursors = cursors.advanced(folder.name, number)
        save_cursors(job, cursors)
        return cursors, len(records), refused

    def _send(self, job: JobDirectory, records: list[Record]) -> list[str]:
        """Send records; metrics of a run are gathered until something else of that run follows."""
        gathered: dict[str, list[Metrics]] = {}
        refused: list[str] = []
        for record in records:
            if isinstance(record, Metrics):
                gathered.setdefault(record.key, []).append(record)
                continue
            self._attempt(refused, job, gathered.pop(record.key, []))
            self._attempt(refused, job, [record])
        for metrics in gathered.values():
            self._attempt(refused, job, metrics)
        return refused

    def _attempt(self, refused: list[str], job: JobDirectory, records: Sequence[Record]) -> None:
        if not records:
            return
        try:
            first = records[0]
            run = self._open(first)
            if isinstance(first, Metrics):
                self._send_metrics(run, [record for record in records if isinstance(record, Metrics)])
            elif isinstance(first, Start):
                self._target.describe(run.run, first.name, first.params, first.tags)
            elif isinstance(first, Artifact):
                self._target.upload(run.run, inside(job.path, first.path), first.artifact_path)
            else:
                self._close(run, first)
        except (TrackerRefused, ValueError) as error:
            refused.append(str(error))

    def _open(self, record: Record) -> _OpenRun:
        """The target's run, and what it has of it: asked for once in this process's life."""
        if record.key not in self._runs:
            parent = record.parent if isinstance(record, Start) else None
            name = record.name if isinstance(record, Start) else record.key
            run, created = self._target.open_run(record.experiment, record.key, parent, name, record.time)
            self._runs[record.key] = _OpenRun(run, set() if created else self._target.sent(run))
        return self._runs[record.key]

    def _send_metrics(self, run: _OpenRun, records: list[Metrics]) -> None:
        fresh: dict[tuple[str, int], Measurement] = {}
        for record in records:
            for raw, value in record.values.items():
                name = safe_name(raw)
                if (name, record.step) not in run.sent:
                    fresh.setdefault((name, record.step), Measurement(name, value, record.step, record.time))
        if fresh:
            self._target.send(run.run, list(fresh.values()))
            run.sent |= fresh.keys()

    def _close(self, run: _OpenRun, record: End) -> None:
        self._target.close_run(run.run, record.status, record.time)
        del self._runs[record.key]


def _marks(job: JobDirectory) -> tuple[tuple[str, int], ...]:
    """When each writer's folder last changed; while it has not, there is nothing new to send."""
    return tuple((folder.name, folder.stat().st_mtime_ns) for folder in writers(job))
