"""The store's measurements as the server's estimates read them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection

from orchestrator.planning.estimate import History
from orchestrator.planning.recorded import measurements_of, runs_of
from orchestrator.scheduling.estimates.devices import canonical
from orchestrator.scheduling.estimates.history import Finished
from orchestrator.scheduling.estimates.measurement import Measurement
from orchestrator.store import measurements


def history_of(connection: Connection, *, name: str | None = None) -> History:
    """What a store knows.

    Args:
        connection: for reading.
        name: of the job whose earlier run times are wanted; None: of all.
    """
    return History(measured(connection), finished(connection, name=name))


def measured(connection: Connection, device: str | None = None) -> tuple[Measurement, ...]:
    """What runs measured of themselves, newest first.

    Args:
        connection: for reading.
        device: on which, by any of its names; None: on every one.
    """
    name = None if device is None else canonical(device)
    return measurements_of(measurements.newest(connection, device=name))


def finished(connection: Connection, *, name: str | None = None) -> tuple[Finished, ...]:
    """Earlier run times, newest first."""
    return runs_of(measurements.finished(connection, name=name))


def finished_of(connection: Connection, names: Collection[str]) -> Mapping[str, tuple[Finished, ...]]:
    """Earlier run times of jobs of some names, newest first, by name; a name without any is left out."""
    return {name: runs_of(found) for name, found in measurements.finished_of(connection, names).items()}
