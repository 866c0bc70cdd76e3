"""The store's records as the estimates read them, and this user's own store, which is read without a server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from orchestrator.blueprint.features import Features
from orchestrator.planning.estimate import NO_HISTORY, History
from orchestrator.scheduling.estimates.history import Finished
from orchestrator.scheduling.estimates.measurement import AMOUNTS, Measurement
from orchestrator.store import looks
from orchestrator.store.looks import FinishedRun, MeasurementRecord

STORE_FILE = "orchestrator.db"


def local_history(state_dir: Path, *, name: str | None = None) -> History:
    """What this user's own store knows, whether a server has it open or not; nothing where it cannot be read.

    Args:
        state_dir: the store lies in it.
        name: of the job whose earlier run times are wanted; None: of all.
    """
    try:
        with looks.looking(state_dir / STORE_FILE) as ask:
            if ask is None:
                return NO_HISTORY
            return History(measurements_of(looks.newest(ask)), runs_of(looks.finished(ask, name=name)))
    except looks.UNREADABLE:
        return NO_HISTORY


def measurements_of(records: Iterable[MeasurementRecord]) -> tuple[Measurement, ...]:
    """In the order of the records."""
    found = (measurement_of(record) for record in records)
    return tuple(each for each in found if each is not None)


def runs_of(records: Iterable[FinishedRun]) -> tuple[Finished, ...]:
    """In the order of the records."""
    return tuple(Finished(**run.__dict__) for run in records)


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
