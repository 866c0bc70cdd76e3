"""The tables of measurements and works: what runs measured of themselves, and what jobs have to do."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, delete, func, select
from sqlalchemy.exc import DBAPIError

from orchestrator.lifecycle.states import JobState, RunState
from orchestrator.store.tables import jobs, measurements, runs, works

KEPT = 500
"""Measurements of each device that are kept, the newest ones: one search shall not wipe what others have taught."""

_SPARE = 100


@dataclass(frozen=True)
class MeasurementRecord:
    """What one run, or one trial of its search, measured at one world size.

    Attributes:
        run: its identifier.
        trial: of a search; else -1.
        workers: its world size.
        job: whose run it is.
        kind: of the job.
        device: by its canonical name.
        at: seconds since the epoch.
        document: features, amounts, seconds, bytes.
    """

    run: str
    trial: int
    workers: int
    job: str
    kind: str
    device: str
    at: float
    document: Mapping[str, Any]


@dataclass(frozen=True)
class FinishedRun:
    """A run that succeeded, from its first view to its end.

    Attributes:
        name: of its job.
        owner: of its job.
        content: digest of what was submitted.
        seconds: that it ran.
        workers: that it had at its end.
        at: when it ended.
    """

    name: str
    owner: str
    content: str
    seconds: float
    workers: int
    at: float


def put(connection: Connection, record: MeasurementRecord) -> None:
    """Add or replace what was measured of a run at a world size; the oldest ones go."""
    at_this_size = (
        measurements.c.run == record.run,
        measurements.c.trial == record.trial,
        measurements.c.workers == record.workers,
    )
    replaced = connection.execute(delete(measurements).where(*at_this_size)).rowcount
    document = json.dumps(dict(record.document), sort_keys=True)
    connection.execute(measurements.insert().values(record.__dict__ | {"document": document}))
    if not replaced:
        _forget(connection, record.device)


def _forget(connection: Connection, device: str) -> None:
    """A hundred at a time: most calls only count."""
    of_it = measurements.c.device == device
    count = connection.execute(select(func.count()).select_from(measurements).where(of_it)).scalar_one()
    if count > KEPT + _SPARE:
        newest = select(measurements.c.at).where(of_it).order_by(measurements.c.at.desc()).offset(KEPT).limit(1)
        newest_gone = connection.execute(newest).scalar_one()
        connection.execute(delete(measurements).where(of_it, measurements.c.at <= newest_gone))


def newest(connection: Connection, *, device: str | None = None, limit: int = KEPT) -> list[MeasurementRecord]:
    """The newest ones.

    Args:
        connection: for reading.
        device: whose, by its canonical name; None: of every device.
        limit: so many of each device.
    """
    newest_first = (measurements.c.at.desc(), measurements.c.run, measurements.c.trial, measurements.c.workers)
    place = func.row_number().over(partition_by=measurements.c.device, order_by=newest_first).label("place")
    ranked = select(measurements, place)
    if device is not None:
        ranked = ranked.where(measurements.c.device == device)
    table = ranked.subquery()
    columns = [table.c[column.name] for column in measurements.columns]
    chosen = select(*columns).where(table.c.place <= limit).order_by(table.c.at.desc(), table.c.run, table.c.trial)
    rows = connection.execute(chosen).mappings()
    return [MeasurementRecord(**dict(row) | {"document": json.loads(row["document"])}) for row in rows]


def stamp(connection: Connection, device: str) -> tuple[int, float, float]:
    """Changes whenever something was measured on a device."""
    at = measurements.c.at  # summed, too: what replaces an older one need not be the newest of all
    query = select(func.count(), func.max(at), func.sum(at)).where(measurements.c.device == device)
    count, last, total = connection.execute(query).one()
    return int(count), float(last or 0.0), float(total or 0.0)


def finished(connection: Connection, *, name: str | None = None, limit: int = 200) -> list[FinishedRun]:
    """Runs that succeeded, the newest first, of jobs whose only run they are or that keep nothing between runs."""
    taken = runs.c.ended_at - runs.c.started_at
    columns = (jobs.c.name, jobs.c.owner, jobs.c.content, taken, runs.c.world_size, runs.c.ended_at)
    whole = (runs.c.number == 1) | (jobs.c.kind == "command")
    query = select(*columns).join(runs, runs.c.job == jobs.c.id)
    query = query.where(runs.c.state == str(RunState.SUCCEEDED), runs.c.started_at.is_not(None), taken > 0, whole)
    if name is not None:
        query = query.where(jobs.c.name == name)
    return [FinishedRun(*row) for row in connection.execute(query.order_by(runs.c.ended_at.desc()).limit(limit))]


def put_work(connection: Connection, job: str, device: str, document: Mapping[str, Any]) -> None:
    """Write down what a job has to do."""
    connection.execute(delete(works).where(works.c.job == job))
    connection.execute(works.insert().values(job=job, device=device, document=json.dumps(document, sort_keys=True)))


def works_of(connection: Connection, ids: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """What some jobs have to do and what was expected of them, of those where somebody knows."""
    found: dict[str, Mapping[str, Any]] = {}
    ordered = sorted(set(ids))
    for start in range(0, len(ordered), 500):
        query = select(works.c.job, works.c.document).where(works.c.job.in_(ordered[start : start + 500]))
        found |= {row.job: json.loads(row.document) for row in connection.execute(query)}
    return found


def devices(connection: Connection, run: str) -> list[str]:
    """On which a run was measured."""
    query = select(measurements.c.device).where(measurements.c.run == run).distinct()
    return sorted(connection.scalars(query))


def waiting(connection: Connection, device: str, *, limit: int) -> list[tuple[str, Mapping[str, Any]]]:
    """Queued jobs that have done nothing yet and are meant for a device, with what they have to do, oldest first."""
    query = select(works.c.job, works.c.document).join(jobs, jobs.c.id == works.c.job)
    fresh = (jobs.c.state == str(JobState.QUEUED), jobs.c.worked == 0, works.c.device == device)
    rows = connection.execute(query.where(*fresh).order_by(jobs.c.sequence).limit(limit))
    return [(row.job, json.loads(row.document)) for row in rows]


@contextmanager
def looking(path: Path) -> Iterator[Connection | None]:
    """Look at a store that perhaps a server has open, without writing a byte; None where there is none.

    What cannot be read (an older schema) is for the reader to pass over: see `UNREADABLE`.
    """
    if not path.is_file():
        yield None
        return
    place = f"{path.absolute().as_uri()}?mode=ro"
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(place, uri=True, timeout=2), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


UNREADABLE = (DBAPIError, sqlite3.Error)
"""What looking at a store may raise that is older, damaged, or just being made."""
