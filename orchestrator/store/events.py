"""The table of events: each job's history, in the order in which it happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from orchestrator.store.records import EventRecord, to_columns
from orchestrator.store.tables import events


def append(
    connection: Connection,
    job: str,
    kind: str,
    message: str,
    *,
    time: float,
    run: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Add an entry."""
    row = {"job": job, "run": run, "time": time, "kind": kind, "message": message, "data": data or {}}
    connection.execute(events.insert().values(to_columns(row)))


def append_all(
    connection: Connection, entries: Sequence[tuple[str, str | None, str, str, float, Mapping[str, Any]]]
) -> None:
    """Add many: each with its job, run, kind, message, time and data."""
    names = ("job", "run", "kind", "message", "time", "data")
    rows = [to_columns(dict(zip(names, entry, strict=True))) for entry in entries]
    if rows:
        connection.execute(events.insert(), rows)


def has_key(connection: Connection, job: str, kind: str, key: str) -> bool:
    """Whether an entry of this kind was made with this `key` in its data."""
    found = select(events.c.id).where(events.c.job == job, events.c.kind == kind)
    return connection.scalar(found.where(func.json_extract(events.c.data, "$.key") == key).limit(1)) is not None


def numbers(connection: Connection, job: str, run: str, kind: str) -> set[object]:
    """What the entries of this kind and run have as `number` in their data."""
    found = select(func.json_extract(events.c.data, "$.number"))
    return set(connection.scalars(found.where(events.c.job == job, events.c.run == run, events.c.kind == kind)))


def newest_message(connection: Connection, job: str, kind: str) -> str | None:
    """What the newest entry of this kind says."""
    query = select(events.c.message).where(events.c.job == job, events.c.kind == kind)
    return connection.scalars(query.order_by(events.c.id.desc()).limit(1)).first()


def after(connection: Connection, job: str, last: int, limit: int) -> list[EventRecord]:
    """Entries of a job with a number above `last`, oldest first."""
    query = select(events).where(events.c.job == job, events.c.id > last).order_by(events.c.id).limit(limit)
    return [EventRecord.from_row(row) for row in connection.execute(query).mappings().all()]
