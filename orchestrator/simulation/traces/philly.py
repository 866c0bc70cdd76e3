"""Microsoft's Philly (Jeon et al., ATC 2019): `cluster_job_log`, a JSON list of jobs with their attempts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.base.errors import UsageError
from orchestrator.simulation.traces.files import opened
from orchestrator.simulation.traces.rows import Collector, LeftOut, calendar
from orchestrator.simulation.traces.trace import Trace, TraceJob, ending

_NOTHING = {None, "", "None"}


def read(path: Path, skip_bad: int) -> Trace:
    """All jobs that ran. A job of several attempts takes as long as all of them; its width is that of the last one.

    Raises:
        UsageError: it cannot be read, or has more bad entries than are tolerated.
    """
    collector = Collector(path, skip_bad)
    for index, entry in enumerate(_entries(path), 1):
        collector.take(f"entry {index}", partial(_told, entry))
    return collector.trace("philly")


def _entries(path: Path) -> list[Any]:
    with opened(path) as file:
        try:
            found = json.load(file)
        except (json.JSONDecodeError, RecursionError) as error:
            line = getattr(error, "lineno", 0)
            raise UsageError(
                f"{path}:{line}: not JSON: {getattr(error, 'msg', 'nested too deeply')}",
                hint="if it was cut off, fetch or copy it again; --format names another layout",
            ) from None
    if not isinstance(found, list):
        raise UsageError(
            f"{path}: expected a list of jobs, as in cluster_job_log",
            hint="of Philly's files only cluster_job_log has jobs; --format names another layout",
        )
    return found


def _told(entry: Any) -> TraceJob:
    """What an entry says.

    Raises:
        ValueError: something is missing, or is not what it should be.
    """
    try:
        return _job(entry)
    except KeyError as error:
        raise ValueError(f"it has no {error.args[0]}") from None
    except (TypeError, AttributeError):
        raise ValueError("it is not laid out as a job with its attempts") from None


def _job(entry: Mapping[str, Any]) -> TraceJob:
    ran = [attempt for attempt in entry["attempts"] if attempt["detail"]]
    if not ran:
        raise LeftOut("that never started")
    if any(attempt.get(key) in _NOTHING for attempt in ran for key in ("start_time", "end_time")):
        raise LeftOut("with an attempt whose start or end nobody knows")
    gpus = sum(len(place["gpus"]) for place in ran[-1]["detail"])
    if gpus == 0:
        raise LeftOut("without a GPU")
    return TraceJob(
        id=str(entry["jobid"]),
        submitted=calendar(str(entry["submitted_time"]), "submitted_time"),
        gpus=gpus,
        duration=sum(_seconds(attempt) for attempt in ran),
        team=str(entry["vc"]),
        owner=str(entry["user"]),
        ends=ending(str(entry["status"])),
    )


def _seconds(attempt: Mapping[str, Any]) -> float:
    start, end = (calendar(str(attempt[key]), key) for key in ("start_time", "end_time"))
    if end < start:
        raise ValueError(f"an attempt ends at {attempt['end_time']}, before its start at {attempt['start_time']}")
    return end - start
