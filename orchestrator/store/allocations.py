"""The table of allocations, on an engine with a queue of its own: those by which runs grew.

The one that a run began with stands there once it is asked to leave while the run goes on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, func, select, update

from orchestrator.base.errors import Conflict
from orchestrator.lifecycle.states import GrowthState
from orchestrator.store.records import GrowthRecord, to_columns
from orchestrator.store.tables import allocations

FIRST = 100
"""Number of a run's first growth; those below are for the nodes of the allocation that it began with."""

_OPEN = [str(state) for state in GrowthState if state is not GrowthState.ENDED]


def insert(connection: Connection, growth: GrowthRecord) -> None:
    """Write one down, before the engine is asked for it."""
    connection.execute(allocations.insert().values(growth.to_row()))


def change(connection: Connection, growth: GrowthRecord, **changes: Any) -> GrowthRecord:
    """Change columns of one.

    Raises:
        Conflict: its state has changed since the caller looked.
    """
    unchanged = (allocations.c.id == growth.id, allocations.c.state == str(growth.state))
    result = connection.execute(update(allocations).where(*unchanged).values(to_columns(changes)))
    if result.rowcount != 1:
        raise Conflict(f"allocation {growth.id} is no longer {growth.state}", hint="look at it again")
    return replace(growth, **changes)


def unended(connection: Connection) -> list[GrowthRecord]:
    """Every one for which the engine may hold something, in order."""
    query = select(allocations).where(allocations.c.state.in_(_OPEN)).order_by(allocations.c.run, allocations.c.number)
    return [GrowthRecord.from_row(row) for row in connection.execute(query).mappings().all()]


def of_runs(connection: Connection, runs: Collection[str], ended: int | None = None) -> dict[str, list[GrowthRecord]]:
    """Those of some runs, each run's in order.

    Args:
        connection: for reading.
        runs: identifiers.
        ended: the newest so many that were taken from a run, and that were given back, are enough; None: all.
    """
    found: dict[str, list[GrowthRecord]] = {run: [] for run in runs}
    ordered = sorted(found)
    alike = [allocations.c.run, allocations.c.stopping, allocations.c.state]
    place = func.row_number().over(partition_by=alike, order_by=allocations.c.number.desc()).label("place")
    for start in range(0, len(ordered), 500):
        chosen = select(allocations, place).where(allocations.c.run.in_(ordered[start : start + 500])).subquery()
        query = select(chosen).order_by(chosen.c.number)
        if ended is not None:
            query = query.where(chosen.c.state.in_(_OPEN) | (chosen.c.place <= ended))
        for row in connection.execute(query).mappings():
            found[row["run"]].append(GrowthRecord.from_row(row))
    return found


def waiting(connection: Connection) -> int:
    """How many of them the engine has not started yet, as far as the store knows."""
    states = [str(GrowthState.CREATED), str(GrowthState.LAUNCHED)]
    query = select(func.count()).select_from(allocations).where(allocations.c.state.in_(states))
    return connection.execute(query).scalar_one()
