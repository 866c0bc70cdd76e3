"""The table of runs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, bindparam, or_, select, update

from orchestrator.base.errors import Conflict
from orchestrator.lifecycle.states import TERMINAL, JobState, RunState
from orchestrator.store.records import RunRecord, placed, to_columns
from orchestrator.store.tables import jobs, runs

_FEW = 10
_UNREADABLE = (RecursionError, TypeError, ValueError)
"""What reading a damaged row may raise."""
_PINNED = select(runs.c.job, runs.c.number, runs.c.wanted).where(runs.c.pinned)


class Unreleased(NamedTuple):
    """Runs for which the engine may still hold something.

    Attributes:
        runs: that can be read, oldest first.
        damaged: the jobs of the others, which hold what they hold all the same, and why they cannot be read.
    """

    runs: list[RunRecord]
    damaged: Mapping[str, Exception]


def insert(connection: Connection, run: RunRecord) -> None:
    """Write a run down, before the engine is asked for it."""
    connection.execute(runs.insert().values(run.to_row()))


def insert_all(connection: Connection, new: Collection[RunRecord]) -> None:
    """Write many down."""
    if new:
        connection.execute(runs.insert(), [run.to_row() for run in new])


def launched(connection: Connection, standings: Mapping[str, tuple[int, bool]]) -> None:
    """The engine has these runs.

    Args:
        connection: of a transaction.
        standings: priority, and whether it is held, as the engine was told, by the run's identifier.

    Raises:
        Conflict: one of them is not just written down any more.
    """
    if not standings:
        return
    created = update(runs).where(runs.c.id == bindparam("run"), runs.c.state == str(RunState.CREATED))
    told: dict[str, Any] = {"told_priority": bindparam("priority"), "told_held": bindparam("held")}
    rows = [{"run": run, "priority": priority, "held": held} for run, (priority, held) in standings.items()]
    result = connection.execute(created.values(state=str(RunState.LAUNCHED), **told), rows)
    if result.rowcount != len(rows):
        raise Conflict(f"of {len(rows)} runs some are not {RunState.CREATED} any more", hint="look at them again")


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
    """The runs of some jobs, each job's in order, as far as they can be read."""
    found: dict[str, list[RunRecord]] = {job: [] for job in jobs}
    ordered = sorted(found)
    for start in range(0, len(ordered), 500):
        query = select(runs).where(runs.c.job.in_(ordered[start : start + 500])).order_by(runs.c.number)
        for run in _read(connection.execute(query).mappings()).runs:
            found[run.job].append(run)
    return found


def unreleased(connection: Connection) -> list[RunRecord]:
    """Every run for which the engine may still hold something, oldest first; those that cannot be read are left out."""
    return look(connection).runs


def look(connection: Connection) -> Unreleased:
    """The same, with the jobs of those that cannot be read."""
    query = select(runs).where(runs.c.released.is_(False)).order_by(runs.c.created_at, runs.c.id)
    return _read(connection.execute(query).mappings().all())


def holding(connection: Connection) -> set[str]:
    """The jobs of all of them, whether they can be read or not."""
    return set(connection.scalars(select(runs.c.job).where(runs.c.released.is_(False))))


def held(connection: Connection, nodes: Collection[str]) -> dict[str, int]:
    """Slots that are kept for runs, of each of some nodes and perhaps of others that the same runs lie on."""
    found: dict[str, int] = {}
    query = select(runs.c.placement, runs.c.slots).where(runs.c.released.is_(False))
    if len(nodes) <= _FEW:
        query = query.where(or_(*(runs.c.placement.contains(json.dumps(node), autoescape=True) for node in nodes)))
    for row in connection.execute(query):
        try:
            shares = placed(row.placement) or ()
        except _UNREADABLE:
            continue  # what it holds the engine knows
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


def out_of_line(connection: Connection) -> list[RunRecord]:
    """Runs that wait in an engine's own queue and stand there otherwise than their jobs do here, or are held."""
    held = jobs.c.state == str(JobState.HELD)
    differs = runs.c.told_priority.is_distinct_from(jobs.c.priority) | runs.c.told_held.is_distinct_from(held)
    waits = runs.c.released.is_(False) & (runs.c.state == str(RunState.LAUNCHED)) & runs.c.stop_cause.is_(None)
    query = select(runs).join(jobs, jobs.c.id == runs.c.job).where(waits, differs | held).order_by(runs.c.created_at)
    return _read(connection.execute(query).mappings().all()).runs


def newest_of(connection: Connection, job: str) -> RunRecord | None:
    """The newest run of a job; None where there is none, or it cannot be read."""
    query = select(runs).where(runs.c.job == job).order_by(runs.c.number.desc()).limit(1)
    return next(iter(_read(connection.execute(query).mappings()).runs), None)


def unreleased_of(connection: Connection, job: str) -> list[RunRecord]:
    """Those of one job."""
    query = select(runs).where(runs.c.job == job, runs.c.released.is_(False)).order_by(runs.c.number)
    return [RunRecord.from_row(row) for row in connection.execute(query).mappings().all()]


def stop_all_of(connection: Connection, job: str, cause: str) -> bool:
    """Ask those of one job to stop that are not over, whether they can be read or not.

    Returns:
        Whether the engine may hold anything for it.
    """
    mine = runs.c.job == job, runs.c.released.is_(False)
    over = [str(state) for state in RunState if state.terminal]
    connection.execute(update(runs).where(*mine, runs.c.state.not_in(over)).values(stop_cause=cause))
    return connection.scalar(select(runs.c.id).where(*mine).limit(1)) is not None


def any_unreleased(connection: Connection) -> bool:
    """Whether the engine may hold anything for some run."""
    return connection.scalar(select(runs.c.id).where(runs.c.released.is_(False)).limit(1)) is not None


def get_many(connection: Connection, ids: Collection[str]) -> dict[str, RunRecord]:
    """Those of the runs that exist, and can be read."""
    found, ordered = dict[str, RunRecord](), sorted(set(ids))
    for start in range(0, len(ordered), 500):
        query = select(runs).where(runs.c.id.in_(ordered[start : start + 500]))
        found |= {run.id: run for run in _read(connection.execute(query).mappings()).runs}
    return found


def jobs_of(connection: Connection, ids: Collection[str]) -> dict[str, str]:
    """The job of each of those of the runs that exist, whether they can be read or not."""
    found, ordered = dict[str, str](), sorted(set(ids))
    for start in range(0, len(ordered), 500):
        rows = connection.execute(select(runs.c.id, runs.c.job).where(runs.c.id.in_(ordered[start : start + 500])))
        found |= {row.id: row.job for row in rows}
    return found


def whose_jobs_are_over(connection: Connection, ids: Collection[str]) -> set[str]:
    """Those of the runs whose jobs are over, whether they can be read or not."""
    found, ordered, states = set[str](), sorted(set(ids)), [str(state) for state in TERMINAL]
    query = select(runs.c.id).join(jobs, jobs.c.id == runs.c.job).where(jobs.c.state.in_(states))
    for start in range(0, len(ordered), 500):
        found.update(connection.scalars(query.where(runs.c.id.in_(ordered[start : start + 500]))))
    return found


def get(connection: Connection, run: str) -> RunRecord | None:
    """One run."""
    row = connection.execute(select(runs).where(runs.c.id == run)).mappings().first()
    return None if row is None else RunRecord.from_row(row)


def _read(rows: Iterable[RowMapping]) -> Unreleased:
    """One damaged row is not the others' trouble."""
    found, damaged = list[RunRecord](), dict[str, Exception]()
    for row in rows:
        try:
            found.append(RunRecord.from_row(row))
        except _UNREADABLE as error:
            damaged[row["job"]] = error
    return Unreleased(found, damaged)
