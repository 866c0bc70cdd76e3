"""Jobs that people keep from starting, in our queue or in that of an engine that has one of its own."""

from __future__ import annotations

from sqlalchemy import Connection

from orchestrator.base.errors import Conflict
from orchestrator.control.site import Site
from orchestrator.lifecycle.states import JobState, RunState
from orchestrator.store import jobs, runs
from orchestrator.store.records import JobRecord, RunRecord


def hold(site: Site, job: str, by: str) -> None:
    """Keep a job from starting; what was being freed for it is for others again.

    A run that waits in the engine's own queue is held there by the next pass of the controller.

    Raises:
        NotFound: there is none.
        Conflict: it is not queued, here or there.
    """
    reason = f"held by {by} until somebody releases it"
    with site.commit("held") as connection:
        record = jobs.get(connection, job)
        if record.state is JobState.STARTING and (run := _waits_there(site, connection, record)) is not None:
            reason = f"{reason}; {site.backend.name.capitalize()} holds {run.id}"
            _move(site, connection, record, JobState.HELD, reason, run)
            return
        _refuse_unless(record, JobState.QUEUED, JobState.HELD)
        _move(site, connection, record, JobState.HELD, reason)


def release(site: Site, job: str, by: str) -> None:
    """Let a held job start when its turn comes.

    Raises:
        NotFound: there is none.
        Conflict: it is not held.
    """
    with site.commit("queued") as connection:
        record = jobs.get(connection, job)
        _refuse_unless(record, JobState.HELD, JobState.QUEUED)
        if (run := _waits_there(site, connection, record)) is not None:
            reason = f"released by {by}; {run.id} waits in {site.backend.name.capitalize()}"
            _move(site, connection, record, JobState.STARTING, reason, run)
            return
        _move(site, connection, record, JobState.QUEUED, f"released by {by}; waits for its turn")


def _waits_there(site: Site, connection: Connection, job: JobRecord) -> RunRecord | None:
    """Its run that waits in the engine's own queue, or is on its way to it; None where there is none."""
    if not site.backend.queues:
        return None
    run = runs.newest_of(connection, job.id)
    there = run is not None and run.token == job.token and run.stop_cause is None
    return run if run is not None and there and run.state in {RunState.CREATED, RunState.LAUNCHED} else None


def _refuse_unless(job: JobRecord, old: JobState, wanted: JobState) -> None:
    if job.state is not old:
        raise Conflict(f"job {job.id} {job.state.clause}; it must be {old}", hint=_instead(job, wanted))


def _instead(job: JobRecord, wanted: JobState) -> str:
    if wanted is not JobState.HELD:
        return "nothing was changed: nobody holds it"
    if job.state not in {JobState.RUNNING, JobState.RESIZING}:
        return "nothing was changed"
    return f"`orchestrator cancel {job.id}` stops it; `orchestrator retry {job.id}` queues it again later"


def _move(
    site: Site, connection: Connection, job: JobRecord, new: JobState, reason: str, run: RunRecord | None = None
) -> None:
    time = site.clock.now()
    jobs.move(connection, job, new, reason=reason, time=time, run=None if run is None else run.id)
