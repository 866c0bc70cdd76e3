"""What the earlier runs of a job left behind: how far they came, and what their time was spent on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.base.files import read_json
from orchestrator.rundir.layout import RunDirectory

SECONDS = ("useful_seconds", "redone_seconds", "idle_seconds")
_LOOKED_AT = 200
"""Events of one writer that are read, from its last one back; progress is said every second."""


@dataclass(frozen=True)
class Earlier:
    """What is known of all runs before this one.

    Attributes:
        samples: that any of them had reached, and workers of this run that are gone.
        seconds: sums over the runs before of `SECONDS`.
        own: the same of workers of this run that are gone.
    """

    samples: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    own: Mapping[str, float] = field(default_factory=dict)


def earlier_runs(run: RunDirectory, *, own: bool = False) -> Earlier:
    """Read it from their last events; what is damaged is passed over.

    Args:
        run: the one that goes on.
        own: all workers that this run has had are gone, and count as well.
    """
    found = [_of(folder) for folder in _others(run)]
    seconds = Counter[str]()
    for each in found:
        seconds.update(each.seconds)
    before = _of(run.path) if own else Earlier()
    return Earlier(max((each.samples for each in (*found, before)), default=0), dict(seconds), before.seconds)


def _of(folder: Path) -> Earlier:
    """What the workers of one run have said."""
    newest: dict[str, tuple[float, Mapping[str, Any]]] = {}
    for writer in folder.glob("events/rank-*"):
        for kind, event in _last_events(writer).items():
            newest[kind] = max(newest.get(kind, event), event, key=lambda found: found[0])
    spent = newest.get("goodput", (0.0, {}))[1]
    seconds = {name: float(spent[name]) for name in SECONDS if isinstance(spent.get(name), int | float)}
    return Earlier(_whole(newest.get("progress", (0.0, {}))[1].get("samples")), seconds)


def _others(run: RunDirectory) -> Iterator[Path]:
    runs = run.path.parent
    yield from (folder for folder in sorted(runs.iterdir()) if folder.name != run.run and folder.is_dir())


def _last_events(writer: Path) -> dict[str, tuple[float, Mapping[str, Any]]]:
    """By kind the time and the data of the last `progress` and `goodput`."""
    found: dict[str, tuple[float, Mapping[str, Any]]] = {}
    for path in sorted((p for p in writer.glob("*.json") if p.stem.isdigit()), reverse=True)[:_LOOKED_AT]:
        document = read_json(path)
        if isinstance(document, dict) and isinstance(data := document.get("data"), dict):
            kind, time = document.get("kind"), document.get("time")
            if kind in ("progress", "goodput") and kind not in found and isinstance(time, int | float):
                found[kind] = (float(time), data)
        if len(found) == 2:
            break
    return found


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
