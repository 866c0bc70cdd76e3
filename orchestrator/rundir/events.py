"""Numbered events: files `events/<writer>/<seq>.json`, one writer a folder, each written once and atomically.

Kinds and their data (every event also has `seq`, `time` in seconds since the epoch, `writer`, `token`):

    agent_started   {pid, start_ticks, host, allocation, node?}  an agent runs; node: as the engine calls it
    started         {world_size, nodes?, fingerprint?}           all ranks run; of an elastic run: its first view
    progress        {done, total, unit, samples, samples_per_second, eta_seconds, best?, message?, …}
    checkpoint      {path, samples, asked}                       asked: requests known to the run when it was begun
    resized         {world_size, epoch, cause, members: [{number, pid, host}], nodes?}
                    a view of an elastic run, the first one included, by the agent that coordinates; nodes: how many
                    workers are on each, by name, where the engine's nodes have names
    worker_lost     {number, message, failure_class}             of an elastic run: it died without a word, by its agent
    draining        {until: {node: seconds since the epoch}}
                    nodes of the run that a Ray cluster wants empty by then, by the driver of its allocation
    data_skipped    {split, shard, rows, count, trial?}          corrupt records that were left out
    measured        {workers, device, steps, samples, seconds, evaluated, evaluation_seconds, epochs, epoch_seconds,
                    memory?, features, trial?}                   of one view, from its beginning; the newest one counts
    trial           {index, state, …}                            a search's trial began or ended
    rank_finished   {outcome, failure_class?, message}           a rank's own word on how it ended, its last event:
                    succeeded, failed, stopped, or left (it went in good order while the run goes on)
    finished        {outcome: succeeded|failed|stopped, failure_class?, message, exit_code?, cause?}
                    the durable marker of the run's end, by the agent that coordinates; nothing follows it
    agent_finished  the same data: an agent's part is over, others have the last word or had it; of cause `taken`: the
                    engine signalled the agent itself, and has the last word
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.base.files import create_exclusive, read_json, sync_folder
from orchestrator.rundir.layout import RunDirectory


@dataclass(frozen=True)
class RunEvent:
    """One event of one writer."""

    writer: str
    seq: int
    time: float
    token: int
    kind: str
    data: Mapping[str, Any]


class EventWriter:
    """Appends one writer's events.

    Args:
        run: where to.
        writer: the folder's name, such as `agent-0` or `rank-0`; nobody else may use it.
        token: the run's fencing token.
    """

    def __init__(self, run: RunDirectory, writer: str, token: int) -> None:
        self._folder = run.events / writer
        self._folder.mkdir(parents=True, exist_ok=True)
        self._token = token
        self._next = _count(run, writer)

    def append(self, kind: str, **data: Any) -> None:
        """Write the next event; durable when this returns."""
        event = {"time": time.time(), "token": self._token, "kind": kind, "data": data}
        while not self._write(event | {"seq": self._next}):
            self._next += 1
        self._next += 1

    def _write(self, event: Mapping[str, Any]) -> bool:
        """Write it in its place; False where another is there."""
        path = self._folder / _name(event["seq"])
        content = json.dumps(event, sort_keys=True, default=str).encode()
        if create_exclusive(path, content):
            return True
        there = read_json(path)  # perhaps this one, by a try that failed after it had got its name
        if there is None or there | {"time": 0} != json.loads(content) | {"time": 0}:
            return False
        sync_folder(self._folder)
        return True


def read_events(run: RunDirectory, cursors: Mapping[str, int]) -> Iterator[RunEvent]:
    """Events not seen yet, writer by writer, each writer's in order; a damaged one amid others is passed over.

    Args:
        run: the run.
        cursors: for each writer the number of events already read; absent means none.
    """
    if not run.events.is_dir():
        return
    for folder in sorted(run.events.iterdir()):
        seq = cursors.get(folder.name, 0)
        while True:
            event = _read(folder, seq)
            if event is not None:
                yield event
            elif not (folder / _name(seq + 1)).exists():
                break  # the tail: absent, or not whole yet
            seq += 1


def find_event(run: RunDirectory, kind: str) -> RunEvent | None:
    """The first event of this kind by any writer."""
    return next((event for event in read_events(run, {}) if event.kind == kind), None)


def first_event(run: RunDirectory, writer: str) -> RunEvent | None:
    """What a writer said first; None where there is nothing yet."""
    return _read(run.events / writer, 0)


def newest_events(run: RunDirectory, cursors: Mapping[str, int]) -> list[RunEvent]:
    """Of each writer the newest of the events that were read, where it is still readable."""
    found = (_read(run.events / writer, count - 1) for writer, count in cursors.items() if count)
    return [event for event in found if event is not None]


def _read(folder: Path, seq: int) -> RunEvent | None:
    document = read_json(folder / _name(seq))
    if document is None:
        return None
    try:
        at, token, kind, data = float(document["time"]), int(document["token"]), document["kind"], document["data"]
    except (KeyError, OverflowError, TypeError, ValueError):
        return None
    readable = math.isfinite(at) and isinstance(kind, str) and isinstance(data, dict)
    return RunEvent(folder.name, seq, at, token, kind, data) if readable else None


def _name(seq: int) -> str:
    return f"{seq:08d}.json"


def _count(run: RunDirectory, writer: str) -> int:
    seq = 0
    while (run.events / writer / _name(seq)).exists():
        seq += 1
    return seq
