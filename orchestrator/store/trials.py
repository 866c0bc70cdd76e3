"""The table of trials: what the files of a search's trials said when they were last read."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from orchestrator.store.records import TrialRecord, to_columns
from orchestrator.store.tables import trials


def put(connection: Connection, trial: TrialRecord) -> None:
    """Add or replace a trial."""
    connection.execute(delete(trials).where(trials.c.job == trial.job, trials.c.number == trial.number))
    connection.execute(trials.insert().values(to_columns(trial.__dict__)))


def of_job(connection: Connection, job: str) -> list[TrialRecord]:
    """The trials of a job, by number."""
    query = select(trials).where(trials.c.job == job).order_by(trials.c.number)
    return [TrialRecord.from_row(row) for row in connection.execute(query).mappings().all()]


def stamps(connection: Connection, job: str) -> dict[int, str]:
    """For each trial of a job, which version of its file was read."""
    query = select(trials.c.number, trials.c.stamp).where(trials.c.job == job)
    return {row.number: row.stamp for row in connection.execute(query)}
