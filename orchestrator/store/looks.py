"""What is read of a store without the SQL toolkit, whose import takes longer than a command may: run times, speeds.

A store that perhaps a server has open is looked at through `looking`; the server asks the same through
`orchestrator.store.measurements`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.lifecycle.states import RunState

KEPT = 500
"""Measurements of each device that are kept, the newest ones: one search shall not wipe what others have taught."""

Ask = Callable[[str, Mapping[str, object]], Sequence[Sequence[Any]]]
"""Runs a query with its `:named` parameters, and returns its rows."""

UNREADABLE = (sqlite3.Error,)
"""What looking at a store may raise that is older, damaged, or just being made."""

_OF_DEVICE, _OF_NAME = "WHERE device = :device", "AND jobs.name = :name"

_NEWEST = """
SELECT run, trial, workers, job, kind, device, at, document
FROM (
    SELECT measurements.*,
        row_number() OVER (PARTITION BY device ORDER BY at DESC, run, trial, workers) AS place
    FROM measurements {}
) AS ranked
WHERE place <= :most
ORDER BY at DESC, run, trial
"""

_SUCCEEDED = """
FROM jobs JOIN runs ON runs.job = jobs.id
WHERE runs.state = :state AND runs.ended_at > runs.started_at AND (runs.number = 1 OR jobs.kind = 'command')
"""

_FINISHED = f"""
SELECT jobs.name, jobs.owner, jobs.content, runs.ended_at - runs.started_at, runs.world_size, runs.ended_at
{_SUCCEEDED} {{}}
ORDER BY runs.ended_at DESC
LIMIT :most
"""

_FINISHED_OF = f"""
SELECT name, owner, content, seconds, world_size, ended_at
FROM (
    SELECT jobs.name, jobs.owner, jobs.content, runs.ended_at - runs.started_at AS seconds, runs.world_size,
        runs.ended_at, row_number() OVER (PARTITION BY jobs.name ORDER BY runs.ended_at DESC) AS place
    {_SUCCEEDED} AND jobs.name IN ({{}})
) AS ranked
WHERE place <= :most
ORDER BY ended_at DESC
"""
_MOST_NAMES = 500


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


def newest(ask: Ask, *, device: str | None = None, limit: int = KEPT) -> list[MeasurementRecord]:
    """The newest measurements.

    Args:
        ask: of the store.
        device: whose, by its canonical name; None: of every device.
        limit: so many of each device.
    """
    wanted = {} if device is None else {"device": device}
    rows = ask(_NEWEST.format(_OF_DEVICE if wanted else ""), {"most": limit, **wanted})
    return [MeasurementRecord(*(*row[:-1], json.loads(row[-1]))) for row in rows]


def finished(ask: Ask, *, name: str | None = None, limit: int = 200) -> list[FinishedRun]:
    """Runs that succeeded, the newest first, of jobs whose only run they are or that keep nothing between runs.

    Args:
        ask: of the store.
        name: of the job; None: of all.
        limit: so many.
    """
    wanted = {} if name is None else {"name": name}
    query = _FINISHED.format(_OF_NAME if wanted else "")
    return [FinishedRun(*row) for row in ask(query, {"most": limit, "state": str(RunState.SUCCEEDED), **wanted})]


def finished_of(ask: Ask, names: Collection[str], *, limit: int = 200) -> dict[str, list[FinishedRun]]:
    """The same for each of some names of jobs, so many of each; a name without any is left out."""
    found: dict[str, list[FinishedRun]] = {}
    ordered = sorted(set(names))
    for start in range(0, len(ordered), _MOST_NAMES):
        wanted = {f"name{number}": name for number, name in enumerate(ordered[start : start + _MOST_NAMES])}
        query = _FINISHED_OF.format(", ".join(f":{key}" for key in wanted))
        for row in ask(query, {"most": limit, "state": str(RunState.SUCCEEDED), **wanted}):
            run = FinishedRun(*row)
            found.setdefault(run.name, []).append(run)
    return found


@contextmanager
def looking(path: Path) -> Iterator[Ask | None]:
    """Look at a store that perhaps a server has open, without writing a byte; None where there is none.

    What cannot be read (an older schema) is for the reader to pass over: see `UNREADABLE`.
    """
    if not path.is_file():
        yield None
        return
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=2)

    def ask(query: str, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        return connection.execute(query, parameters).fetchall()

    try:
        yield ask
    finally:
        connection.close()
