"""What people call jobs, read for many of them at once, and the newest entries of one job's history."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection, select

from orchestrator.lifecycle.states import TERMINAL, JobState
from orchestrator.store.records import EventRecord
from orchestrator.store.tables import events, jobs


class Brief(NamedTuple):
    """A job that is not over.

    Attributes:
        id: identifier.
        name: for people.
        owner: who submitted it.
        state: where it stands.
        workers_min: the fewest workers that it asked for.
        workers_max: the most.
    """

    id: str
    name: str
    owner: str
    state: str
    workers_min: int
    workers_max: int


def unfinished(connection: Connection) -> dict[str, Brief]:
    """All jobs that are not over, by identifier; tens of thousands of them are read at once."""
    columns = [jobs.c[name] for name in Brief._fields]
    open_states = [str(state) for state in JobState if state not in TERMINAL]
    rows = connection.execute(select(*columns).where(jobs.c.state.in_(open_states)))
    return {row[0]: Brief(*row) for row in rows}


def newest_events(connection: Connection, job: str, kinds: Collection[str], limit: int) -> list[EventRecord]:
    """The newest entries of these kinds in a job's history, newest first."""
    query = select(events).where(events.c.job == job, events.c.kind.in_(sorted(kinds)))
    rows = connection.execute(query.order_by(events.c.id.desc()).limit(limit)).mappings()
    return [EventRecord.from_row(row) for row in rows]
