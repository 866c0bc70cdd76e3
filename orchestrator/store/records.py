"""Frozen rows: what the store hands out. A change is a new record."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import RowMapping

from orchestrator.base.errors import DamagedRow
from orchestrator.base.text import one_line
from orchestrator.lifecycle.states import GrowthState, JobState, RunState

Placed = tuple[tuple[str, int], ...]
"""Where the workers of a job lie: (node, workers)."""
_NUMBERS = ("priority", "workers_min", "workers_max", "slots_per_worker", "created_at")
_UNREADABLE = (LookupError, RecursionError, TypeError, ValueError)
"""What reading a damaged row may raise."""


@dataclass(frozen=True)
class JobRecord:
    """A job. `sequence` is 0 until it is stored; the other fields are explained in `tables`."""

    id: str
    name: str
    kind: str
    owner: str
    team: str
    priority: int
    state: JobState
    reason: str
    profile: str
    workload: str
    workdir: str
    content: str
    workers_min: int
    workers_max: int
    slots_per_worker: int
    created_at: float
    sequence: int = 0
    revision: str | None = None
    dirty: bool | None = None
    client_key: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    token: int = 0
    runs: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    not_before: float | None = None
    progress: Mapping[str, Any] | None = None
    elastic: bool = False
    needs: Mapping[str, Any] = field(default_factory=dict)
    time_limit: float | None = None
    estimate: Mapping[str, float] | None = None
    exponent: float = 1.0
    worked: float = 0.0
    attained: float = 0.0
    preemptions: int = 0
    waits_since: float = 0.0
    claim: Placed | None = None
    unchecked: bool = False
    started_at: float | None = None
    finished_at: float | None = None

    @classmethod
    def from_row(cls, row: RowMapping) -> JobRecord:
        """Of a row of `jobs`.

        Raises:
            DamagedRow: it is none.
        """
        try:
            return cls._of(row)
        except _UNREADABLE as error:
            raise _damaged("job", row, error) from error

    @classmethod
    def _of(cls, row: RowMapping) -> JobRecord:
        values = {name: row[name] for name in _names(cls)}
        values["state"] = JobState(values["state"])
        values["depends_on"] = () if values["depends_on"] == "[]" else tuple(json.loads(values["depends_on"]))
        for name in ("environment", "failures", "needs"):
            values[name] = _read(values[name])
        for name in ("progress", "estimate"):
            values[name] = None if values[name] is None else json.loads(values[name])
        values["claim"] = placed(values["claim"])
        if odd := [name for name in _NUMBERS if not isinstance(values[name], int | float)]:
            raise ValueError(f"{odd[0]} is no number")
        return cls(**values)

    def to_row(self) -> dict[str, Any]:
        """A row of `jobs`, without the sequence."""
        return to_columns({name: getattr(self, name) for name in _names(type(self)) if name != "sequence"})


@dataclass(frozen=True)
class RunRecord:
    """One launch of a job."""

    id: str
    job: str
    number: int
    token: int
    allocation: str
    backend: str
    state: RunState
    world_size: int
    wanted: int
    slots: int
    created_at: float
    view: int = 0
    resizing_from: int | None = None
    resizing_since: float | None = None
    checkpoints_asked: int = 0
    goodput: Mapping[str, float] = field(default_factory=dict)
    placement: Placed = ()
    was: Placed | None = None
    becomes: Placed | None = None
    pinned: bool = False
    freed_for: str | None = None
    worked: float = 0.0
    saved: float | None = None
    counted: float | None = None
    resized_at: float | None = None
    released: bool = False
    stop_cause: str | None = None
    time_limit: float | None = None
    cursors: Mapping[str, int] = field(default_factory=dict)
    failure_class: str | None = None
    message: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    told_priority: int | None = None
    told_held: bool | None = None

    @classmethod
    def from_row(cls, row: RowMapping) -> RunRecord:
        """Of a row of `runs`.

        Raises:
            DamagedRow: it is none.
        """
        try:
            return cls._of(row)
        except _UNREADABLE as error:
            raise _damaged("run", row, error) from error

    @classmethod
    def _of(cls, row: RowMapping) -> RunRecord:
        values = {name: row[name] for name in _names(cls)}
        values["state"] = RunState(values["state"])
        values["cursors"] = json.loads(values["cursors"])
        values["goodput"] = json.loads(values["goodput"])
        values["placement"] = placed(values["placement"]) or ()
        values["was"], values["becomes"] = placed(values["was"]), placed(values["becomes"])
        return cls(**values)

    def to_row(self) -> dict[str, Any]:
        """A row of `runs`."""
        return to_columns({name: getattr(self, name) for name in _names(type(self))})


@dataclass(frozen=True)
class GrowthRecord:
    """An allocation by which a run grew, or, once it is asked to leave, the one that it began with (number 0)."""

    id: str
    run: str
    number: int
    workers: int
    state: GrowthState
    created_at: float
    stopping: bool = False
    started_at: float | None = None
    ended_at: float | None = None

    @classmethod
    def from_row(cls, row: RowMapping) -> GrowthRecord:
        """Of a row of `allocations`."""
        values = {name: row[name] for name in _names(cls)}
        return cls(**values | {"state": GrowthState(values["state"])})

    def to_row(self) -> dict[str, Any]:
        """A row of `allocations`."""
        return to_columns({name: getattr(self, name) for name in _names(type(self))})


@dataclass(frozen=True)
class EventRecord:
    """One entry of a job's history."""

    id: int
    job: str
    run: str | None
    time: float
    kind: str
    message: str
    data: Mapping[str, Any]

    @classmethod
    def from_row(cls, row: RowMapping) -> EventRecord:
        """Of a row of `events`."""
        return cls(**{name: row[name] for name in _names(cls)} | {"data": json.loads(row["data"])})


@dataclass(frozen=True)
class TrialRecord:
    """One member of a search, as its file says."""

    job: str
    number: int
    state: str
    record: Mapping[str, Any]
    stamp: str

    @classmethod
    def from_row(cls, row: RowMapping) -> TrialRecord:
        """Of a row of `trials`."""
        return cls(**{name: row[name] for name in _names(cls)} | {"record": json.loads(row["record"])})


def placed(text: str | None) -> Placed | None:
    """A placement of its column."""
    return None if text is None else tuple((str(node), int(workers)) for node, workers in json.loads(text))


def to_columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of records as values of columns: mappings and tuples become JSON."""
    return {name: _plain(value) for name, value in values.items()}


def _damaged(what: str, row: RowMapping, error: Exception) -> DamagedRow:
    said = f"{type(error).__name__}: {one_line(str(error), 200)}"
    return DamagedRow(
        f"the store's row of {what} {row['id']} cannot be read ({said})",
        hint="bring the store back from a backup; other jobs are not touched",
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping | tuple | list):
        return json.dumps(value, sort_keys=True, default=str)
    return str(value) if isinstance(value, JobState | RunState | GrowthState) else value


def _names(kind: Any) -> Collection[str]:
    names: Mapping[str, object] = kind.__dataclass_fields__
    return names.keys()


def _read(text: str) -> Any:
    """Most columns of a long list are empty."""
    return {} if text == "{}" else json.loads(text)
