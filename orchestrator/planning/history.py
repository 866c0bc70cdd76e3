"""The store's measurements as the estimates read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from orchestrator.blueprint.features import Features
from orchestrator.planning.estimate import NO_HISTORY, History
from orchestrator.scheduling.estimates.devices import canonical
from orchestrator.scheduling.estimates.history import Finished
from orchestrator.scheduling.estimates.measurement import AMOUNTS, Measurement
from orchestrator.store import measurements
from orchestrator.store.measurements import MeasurementRecord

STORE_FILE = "orchestrator.db"


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
    found = (measurement_of(record) for record in measurements.newest(connection, device=name))
    return tuple(each for each in found if each is not None)


def finished(connection: Connection, *, name: str | None = None) -> tuple[Finished, ...]:
    """Earlier run times, newest first."""
    return tuple(Finished(**run.__dict__) for run in measurements.finished(connection, name=name))


def local_history(state_dir: Path, *, name: str | None = None) -> History:
    """The same of this user's own store, whether a server has it open or not; nothing where it cannot be read."""
    try:
        with measurements.looking(state_dir / STORE_FILE) as connection:
            return NO_HISTORY if connection is None else history_of(connection, name=name)
    except measurements.UNREADABLE:
        return NO_HISTORY


def measurement_of(record: MeasurementRecord) -> Measurement | None:
    """None where the document is of another version."""
    document = record.document
    try:
        amounts = {each: float(document.get(each, 0.0)) for each in AMOUNTS}
        return Measurement(
            run=record.run,
            kind=record.kind,
            device=record.device,
            features=Features.from_json(document["features"]),
            workers=record.workers,
            trial=record.trial,
            startup=_number(document, "startup"),
            memory=_number(document, "memory"),
            at=record.at,
            **amounts,
        )
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
        return None


def _number(document: Mapping[str, Any], name: str) -> float | None:
    value = document.get(name)
    return None if value is None else float(value)
