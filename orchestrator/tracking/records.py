"""What a spool holds: one JSON object a line, one dataclass for each kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestrator.tracking.protocol import RunStatus


@dataclass(frozen=True)
class Start:
    """A run begins, or goes on."""

    key: str
    time: float
    experiment: str
    name: str
    parent: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Metrics:
    """Values of some metrics at one step."""

    key: str
    time: float
    experiment: str
    step: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Artifact:
    """A file, relative to the job's directory."""

    key: str
    time: float
    experiment: str
    path: str
    artifact_path: str = ""


@dataclass(frozen=True)
class End:
    """A run is over."""

    key: str
    time: float
    experiment: str
    status: RunStatus


Record = Start | Metrics | Artifact | End
_KINDS: dict[str, type[Record]] = {"start": Start, "metrics": Metrics, "artifact": Artifact, "end": End}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def encode(record: Record) -> str:
    """One line of JSON; numbers that JSON lacks (nan, inf) are written as texts."""
    document: dict[str, Any] = {"kind": _NAMES[type(record)], **asdict(record)}
    if isinstance(record, Metrics):
        document["values"] = {name: _number(value) for name, value in record.values.items()}
    return json.dumps(document, sort_keys=True, allow_nan=False)


def decode(line: str) -> Record | None:
    """The inverse of `encode`; None for a line that is no whole record."""
    try:
        document = json.loads(line)
        kind = _KINDS[document.pop("kind")]
        if kind is Metrics:
            document["values"] = {str(name): float(value) for name, value in document["values"].items()}
        return kind(**document)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _number(value: float) -> float | str:
    number = float(value)
    return number if abs(number) < float("inf") else str(number)
