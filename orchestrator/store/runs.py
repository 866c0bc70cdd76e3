"""The table of runs."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, or_, select, update

from orchestrator.base.errors import Conflict
from orchestrator.lifecycle.states import TERMINAL, JobState
from orchestrator.store.records import RunRecord, placed, to_columns
from orchestrator.store.tables import jobs, runs

_FEW = 10
_PINNED = select(runs.c.job, runs.c.number, runs.c.wanted).where(runs.c.pinned)


def insert(connection: Connection, run: RunRecord) -> None:
    """Write a run down, before the engine is asked for it."""
    connection.execute(runs.insert().values(run.to_row()))


def change(connection: Connection, run: RunRecord, **changes: Any) -> RunRecord:
    """Change columns of a run.

    Raises:
        Conflict: its state has changed since the caller looked.
    """
    unchanged = (runs.c.id == run.id, runs.c.state == str(run.state))
    result = connection.execute(update(runs).where(*unchanged).values(to_columns(changes)))
    if result.rowcount != 1:
        raise Conflict(f"run {run.id} is no longer {run.state}", hint="look at it again")
    return replace(run, **changes)


def of_jobs(connection: Connection, jobs: Collection[str]) -> dict[str, list[RunRecord]]:
    """The runs of some jobs, each job's in order."""
    found: dict[str, list[RunRecord]] = {job: [] for job in jobs}
    ordered = sorted(found)
    for start in range(0, len(ordered), 500):
        query = select(runs).where(runs.c.job.in_(ordered[start : start + 500])).order_by(runs.c.number)
        for row in connection.execute(query).mappings():
            found[row["job"]].append(RunRecord.from_row(row))
    return found


def unreleased(connection: Connection) -> list[RunRecord]:
    """Every run for which the engine may still hold something, oldest first."""
    query = select(runs).where(runs.c.released.is_(False)).order_by(runs.c.created_at, runs.c.id)
    return [RunRecord.from_row(row) for row in connection.execute(query).mappings()]


def held(connection: Connection, nodes: Collection[str]) -> dict[str, int]:
    """Slots that are kept for runs, of each of some nodes and perhaps of others that the same runs lie on."""
    found: dict[str, int] = {}
    query = select(runs.c.placement, runs.c.slots).where(runs.c.released.is_(False))
    if len(nodes) <= _FEW:
        query = query.where(or_(*(runs.c.placement.contains(json.dumps(node), autoescape=True) for node in nodes)))
    for row in connection.execute(query):
        shares = placed(row.placement) or ()
        workers = sum(count for _, count in shares)
        for node, count in shares:
            found[node] = found.get(node, 0) + count * row.slots // workers
    return found


def pins(connection: Connection) -> dict[str, int]:
    """The width that a person chose for the newest run, of each job that is not over."""
    chosen = {(row.job, row.number): row.wanted for row in connection.execute(_PINNED)}
    if not chosen:
        return {}
    waits = jobs.c.state.in_([str(state) for state in JobState if state not in TERMINAL])
    named = jobs.c.id.in_(select(runs.c.job).where(runs.c.pinned))
    rows = connection.execute(select(jobs.c.id, jobs.c.runs).where(named, waits, jobs.c.elastic))
    return {row.id: chosen[row.id, row.runs] for row in rows if (row.id, row.runs) in chosen}


def newest_of(connection: Connection, job: str) -> RunRecord | None:
    """The newest run of a job."""
    query = select(runs).where(runs.c.job == job).order_by(runs.c.number.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    return None if row is None else RunRecord.from_row(row)


def unreleased_of(connection: Connection, job: str) -> list[RunRecord]:
    """Those of one job."""
    query = select(runs).where(runs.c.job == job, runs.c.released.is_(False)).order_by(runs.c.number)
    return [RunRecord.from_row(row) for row in connection.execute(query).mappings()]


def get(connection: Connection, run: str) -> RunRecord | None:
    """One run."""
    row = connection.execute(select(runs).where(runs.c.id == run)).mappings().first()
    return None if row is None else RunRecord.from_row(row)
