"""The tables of measurements and works: what runs measured of themselves, and what jobs have to do."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, delete, func, select, text

from orchestrator.lifecycle.states import JobState
from orchestrator.store import looks
from orchestrator.store.looks import KEPT, Ask, FinishedRun, MeasurementRecord
from orchestrator.store.tables import jobs, measurements, works

_SPARE = 100


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
    return looks.newest(_asking(connection), device=device, limit=limit)


def stamp(connection: Connection, device: str) -> tuple[int, float, float]:
    """Changes whenever something was measured on a device."""
    at = measurements.c.at  # summed, too: what replaces an older one need not be the newest of all
    query = select(func.count(), func.max(at), func.sum(at)).where(measurements.c.device == device)
    count, last, total = connection.execute(query).one()
    return int(count), float(last or 0.0), float(total or 0.0)


def finished(connection: Connection, *, name: str | None = None, limit: int = 200) -> list[FinishedRun]:
    """Runs that succeeded, the newest first, of jobs whose only run they are or that keep nothing between runs."""
    return looks.finished(_asking(connection), name=name, limit=limit)


def finished_of(connection: Connection, names: Collection[str]) -> dict[str, list[FinishedRun]]:
    """The same for each of some names of jobs, with few statements; a name without any is left out."""
    return looks.finished_of(_asking(connection), names)


def _asking(connection: Connection) -> Ask:
    return lambda query, parameters: connection.execute(text(query), dict(parameters)).all()


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
