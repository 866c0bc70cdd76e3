"""What people call jobs, and why each is where it is, of many at once; and the newest entries of one job's history."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from orchestrator.store.records import EventRecord
from orchestrator.store.tables import events, jobs

_CHUNK = 500


class Brief(NamedTuple):
    """A job.

    Attributes:
        id: identifier.
        name: for people.
        owner: who submitted it.
        state: where it stands.
        workers_min: the fewest workers that it asked for.
        workers_max: the most.
        reason: why it is where it is.
    """

    id: str
    name: str
    owner: str
    state: str
    workers_min: int
    workers_max: int
    reason: str


def of_jobs(connection: Connection, ids: Sequence[str]) -> dict[str, Brief]:
    """Those of the jobs that exist, by identifier."""
    columns = [jobs.c[name] for name in Brief._fields]
    found: dict[str, Brief] = {}
    for start in range(0, len(ids), _CHUNK):
        rows = connection.execute(select(*columns).where(jobs.c.id.in_(ids[start : start + _CHUNK])))
        found |= {row[0]: Brief(*row) for row in rows}
    return found


def newest_events(connection: Connection, job: str, kinds: Collection[str], limit: int) -> list[EventRecord]:
    """The newest entries of these kinds in a job's history, newest first."""
    query = select(events).where(events.c.job == job, events.c.kind.in_(sorted(kinds)))
    rows = connection.execute(query.order_by(events.c.id.desc()).limit(limit)).mappings()
    return [EventRecord.from_row(row) for row in rows]
