"""The table of jobs; `move` is the only way from one state to another."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, func, select, update

from orchestrator.base.errors import Conflict, DamagedRow, NotFound
from orchestrator.lifecycle.states import JobState, check_move
from orchestrator.store import events, tables
from orchestrator.store.records import JobRecord, RunRecord, to_columns
from orchestrator.store.tables import jobs

_CHUNK = 500

QUEUE_CHANGES = "queue changes"
"""What a connection remembers of its transaction: the jobs that wait and have changed, or wait no more, or now."""

WAITING = frozenset({JobState.QUEUED, JobState.HELD, JobState.RECOVERING})
"""Jobs that a decision may start, now or later."""


class Stale(Conflict):
    """Somebody else moved the job in between; look again."""


class OpenJob(NamedTuple):
    """The columns of a job that a decision needs, JSON unread; ten thousand of them are read at once."""

    id: str
    sequence: int
    state: str
    created_at: float
    team: str
    owner: str
    priority: int
    workers_min: int
    workers_max: int
    slots_per_worker: int
    elastic: bool
    needs: str
    time_limit: float | None
    estimate: str | None
    exponent: float
    worked: float
    attained: float
    preemptions: int
    waits_since: float
    claim: str | None
    unchecked: bool
    not_before: float | None
    failures: str
    depends_on: str
    progress: str | None


def insert(connection: Connection, job: JobRecord) -> JobRecord:
    """Add a job at the end of the queue and say so in its history."""
    _changed(connection, job.id)
    connection.execute(jobs.insert().values(job.to_row()))
    stored = get(connection, job.id)
    events.append(connection, job.id, "submitted", job.reason, time=job.created_at, data={"state": str(job.state)})
    return stored


def move(
    connection: Connection,
    job: JobRecord,
    new: JobState,
    *,
    reason: str,
    time: float,
    run: str | None = None,
    data: Mapping[str, Any] | None = None,
    **changes: Any,
) -> JobRecord:
    """Move a job, in the caller's transaction, and append the event that says why.

    Args:
        connection: of a write transaction.
        job: as the caller saw it; the move happens only where state and fencing token are still the same.
        new: the new state.
        reason: for people.
        time: seconds since the epoch.
        run: the run that the move is about.
        data: more for the event.
        changes: other columns that change with it.

    Raises:
        IllegalMove: the life cycle has no such arrow.
        Stale: the job has changed since the caller looked.
    """
    check_move(job.id, job.state, new)
    if new is not JobState.QUEUED and job.claim is not None:
        changes = {
            "claim": None,
            **changes,
        }  # what was being freed for a waiting job is free for all once it waits no more
    moved = replace(job, state=new, reason=reason, **changes)
    _update(connection, job, {"state": new, "reason": reason, **changes})
    told = {"from": str(job.state), "to": str(new), **(data or {})}
    events.append(connection, job.id, "state", reason, time=time, run=run, data=told)
    return moved


def start_all(connection: Connection, starts: Sequence[tuple[JobRecord, RunRecord, str]]) -> None:
    """Move many queued jobs to STARTING at once, as `move` does.

    Args:
        connection: of a write transaction.
        starts: each job as the caller saw it, its new run, and the reason for people.

    Raises:
        IllegalMove: one of them was not queued.
        Stale: one of them has changed since the caller looked.
    """
    if not starts:
        return
    for job, _, _ in starts:
        check_move(job.id, job.state, JobState.STARTING)
        _changed(connection, job.id)
    unchanged = (jobs.c.id == bindparam("job"), jobs.c.state == bindparam("old"), jobs.c.token == bindparam("known"))
    given: dict[str, Any] = {name: bindparam(f"new_{name}") for name in ("reason", "token", "runs")}
    plain = {"state": str(JobState.STARTING), "claim": None, "not_before": None, "progress": None}
    rows = [
        {"job": job.id, "old": str(job.state), "known": job.token, "new_reason": reason}
        | {"new_token": run.token, "new_runs": run.number}
        for job, run, reason in starts
    ]
    result = connection.execute(update(jobs).where(*unchanged).values(**given, **plain), rows)
    if result.rowcount != len(rows):
        raise Stale(f"of {len(rows)} jobs some are not queued any more", hint="look at them again")
    data = {"from": str(JobState.QUEUED), "to": str(JobState.STARTING)}
    told = [(job.id, run.id, "state", reason, run.created_at, data) for job, run, reason in starts]
    events.append_all(connection, told)


def set_columns(connection: Connection, job: JobRecord, **changes: Any) -> JobRecord:
    """Change columns other than the state.

    Raises:
        Stale: the job has changed state since the caller looked.
    """
    _update(connection, job, changes)
    return replace(job, **changes)


def reasons(connection: Connection, names: Collection[str]) -> dict[str, str]:
    """Why some jobs are where they are, by identifier."""
    found = dict[str, str]()
    for chunk in _chunks(names):
        rows = connection.execute(select(jobs.c.id, jobs.c.reason).where(jobs.c.id.in_(chunk)))
        found.update((row.id, row.reason) for row in rows)
    return found


def set_reasons(connection: Connection, reasons: Mapping[str, str], state: JobState) -> None:
    """Change the reasons of many jobs at once; those that are in another state by now keep theirs."""
    if reasons:
        chosen = update(jobs).where(jobs.c.id == bindparam("job"), jobs.c.state == str(state))
        rows = [{"job": job, "text": reason} for job, reason in reasons.items()]
        connection.execute(chosen.values(reason=bindparam("text")), rows)


def set_reason_of_all(connection: Connection, states: Collection[JobState], reason: str) -> None:
    """Give all jobs in these states one reason."""
    connection.execute(update(jobs).where(_in(states)).values(reason=reason))


def any_reason_begins(connection: Connection, prefix: str) -> bool:
    """Whether some job's reason begins so."""
    query = select(jobs.c.id).where(jobs.c.reason.startswith(prefix, autoescape=True)).limit(1)
    return connection.scalar(query) is not None


def restore_reasons(connection: Connection, prefix: str) -> None:
    """Jobs whose reason begins so get back that of their last move."""
    history = tables.events
    told = select(history.c.message).where(history.c.job == jobs.c.id, history.c.kind == "state")
    newest = told.order_by(history.c.id.desc()).limit(1).scalar_subquery()
    chosen = update(jobs).where(jobs.c.reason.startswith(prefix, autoescape=True))
    connection.execute(chosen.values(reason=func.coalesce(newest, "queued")))


def get(connection: Connection, job: str) -> JobRecord:
    """One job.

    Raises:
        NotFound: there is none.
    """
    row = connection.execute(select(jobs).where(jobs.c.id == job)).mappings().first()
    if row is None:
        raise NotFound(f"there is no job {job!r}", hint="orchestrator jobs lists them")
    return JobRecord.from_row(row)


def get_many(connection: Connection, ids: Collection[str]) -> dict[str, JobRecord]:
    """Those of the jobs that exist."""
    found: dict[str, JobRecord] = {}
    for chunk in _chunks(ids):
        rows = connection.execute(select(jobs).where(jobs.c.id.in_(chunk))).mappings().all()
        found |= {row["id"]: JobRecord.from_row(row) for row in rows}
    return found


def states(connection: Connection, ids: Collection[str]) -> dict[str, JobState]:
    """The states of those of the jobs that exist."""
    found: dict[str, JobState] = {}
    for chunk in _chunks(ids):
        rows = connection.execute(select(jobs.c.id, jobs.c.state).where(jobs.c.id.in_(chunk)))
        found |= {row.id: JobState(row.state) for row in rows}
    return found


def profiles(connection: Connection, states: Collection[JobState]) -> dict[str, str]:
    """The profile of every job in these states."""
    return {row.id: row.profile for row in connection.execute(select(jobs.c.id, jobs.c.profile).where(_in(states)))}


def by_key(connection: Connection, owner: str, client_key: str) -> JobRecord | None:
    """The job that this owner submitted under this key."""
    query = select(jobs).where(jobs.c.owner == owner, jobs.c.client_key == client_key)
    row = connection.execute(query).mappings().first()
    return None if row is None else JobRecord.from_row(row)


class Unreadable(NamedTuple):
    """A job whose row is damaged.

    Attributes:
        row: what stands there.
        error: what is wrong with it.
    """

    row: Mapping[str, Any]
    error: DamagedRow


def look(connection: Connection, job: str) -> JobRecord | Unreadable:
    """One job, whether it can be read or not.

    Raises:
        NotFound: there is none.
    """
    row = connection.execute(select(jobs).where(jobs.c.id == job)).mappings().first()
    if row is None:
        raise NotFound(f"there is no job {job!r}", hint="orchestrator jobs lists them")
    return _look(row)


def newest(
    connection: Connection, *, states: Collection[JobState] | None, name: str | None, limit: int
) -> list[JobRecord]:
    """Jobs that can be read, newest first."""
    found = page(connection, states=states, name=name, limit=limit)
    return [one for one in found if isinstance(one, JobRecord)]


def page(
    connection: Connection, *, states: Collection[JobState] | None, name: str | None, limit: int
) -> list[JobRecord | Unreadable]:
    """Jobs, newest first, whether they can be read or not."""
    query = select(jobs).order_by(jobs.c.sequence.desc()).limit(limit)
    if states is not None:
        query = query.where(_in(states))
    if name is not None:
        query = query.where(jobs.c.name == name)
    return [_look(row) for row in connection.execute(query).mappings().all()]


def _look(row: RowMapping) -> JobRecord | Unreadable:
    try:
        return JobRecord.from_row(row)
    except DamagedRow as error:
        return Unreadable(dict(row), error)


def has_team(connection: Connection, team: str) -> bool:
    """Whether a job of this team is or was there."""
    return connection.execute(select(jobs.c.id).where(jobs.c.team == team).limit(1)).first() is not None


def teams(connection: Connection) -> set[str]:
    """Those that have or had jobs."""
    return set(connection.execute(select(jobs.c.team).distinct()).scalars())


def in_states(connection: Connection, states: Collection[JobState]) -> list[JobRecord]:
    """All jobs in these states, oldest first."""
    query = select(jobs).where(_in(states)).order_by(jobs.c.sequence)
    return [JobRecord.from_row(row) for row in connection.execute(query).mappings().all()]


def waiting(connection: Connection) -> list[OpenJob]:
    """All jobs that wait, in no order, with the columns that a decision needs."""
    return _open(connection, _in(WAITING))


def waiting_among(connection: Connection, ids: Collection[str]) -> list[OpenJob]:
    """Those of some jobs that wait."""
    return [job for chunk in _chunks(ids) for job in _open(connection, jobs.c.id.in_(chunk) & _in(WAITING))]


def holding(connection: Connection) -> list[OpenJob]:
    """All jobs that hold slots, in no order, with the same columns."""
    runs = select(tables.runs.c.job).where(tables.runs.c.released.is_(False))
    return _open(connection, jobs.c.id.in_(runs))


def _open(connection: Connection, which: ColumnElement[bool]) -> list[OpenJob]:
    columns = [jobs.c[name] for name in OpenJob._fields]
    return [OpenJob._make(row) for row in connection.execute(select(*columns).where(which)).all()]


def open_job(connection: Connection, job: str) -> OpenJob:
    """One job with those columns; it must exist."""
    columns = [jobs.c[name] for name in OpenJob._fields]
    return OpenJob(*connection.execute(select(*columns).where(jobs.c.id == job)).one())


def add_attained(connection: Connection, job: str, slot_seconds: float) -> None:
    """Count what its run has used."""
    _changed(connection, job)
    connection.execute(update(jobs).where(jobs.c.id == job).values(attained=jobs.c.attained + slot_seconds))


def with_prefix(connection: Connection, prefix: str, limit: int) -> list[str]:
    """Identifiers that begin with `prefix`."""
    matches = jobs.c.id.startswith(prefix, autoescape=True)
    return list(connection.scalars(select(jobs.c.id).where(matches).order_by(jobs.c.sequence.desc()).limit(limit)))


def count(connection: Connection, states: Collection[JobState]) -> int:
    """How many jobs are in these states."""
    return connection.execute(select(func.count()).select_from(jobs).where(_in(states))).scalar_one()


def _update(connection: Connection, job: JobRecord, changes: Mapping[str, Any]) -> None:
    if not WAITING.isdisjoint({job.state, changes.get("state", job.state)}):
        _changed(connection, job.id)
    unchanged = (jobs.c.id == job.id, jobs.c.state == str(job.state), jobs.c.token == job.token)
    result = connection.execute(update(jobs).where(*unchanged).values(to_columns(changes)))
    if result.rowcount != 1:
        raise Stale(f"job {job.id} is no longer {job.state} under token {job.token}", hint="look at it again")


def _changed(connection: Connection, job: str) -> None:
    connection.info.setdefault(QUEUE_CHANGES, set()).add(job)


def _in(states: Collection[JobState]) -> ColumnElement[bool]:
    return jobs.c.state.in_([str(state) for state in states])


def _chunks(ids: Collection[str]) -> list[Sequence[str]]:
    ordered = sorted(set(ids))
    return [ordered[i : i + _CHUNK] for i in range(0, len(ordered), _CHUNK)]
