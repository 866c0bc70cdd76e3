"""The words that a simulated run can do, one a tick.

wait               nothing
start              its ranks run
progress:<n>       n of 10 steps are done
resize             it has as many workers as its control.json wants, and where that says
follow             the same, where its control.json wants another number or place than it has; on an engine with a
                   queue of its own, as many of those as its allocations have
workers:<n>        it has n workers: one was lost, or joined
goodput:<u>/<r>/<i>  so many seconds were useful, redone and idle
say:<kind>         an event of this kind, without data
trial:<n>          trial n has succeeded
succeed            it finishes, and its allocation ends
fail:<class>       it finishes with a failure of this class (without a class: application)
linger             it finishes with success, and its allocation does not end
die[:<class>]      its allocation ends without a word; the engine may know a class
vanish             the engine knows nothing of it any more
stubborn           from here on it ignores a request to stop
first:<word>       the word, in the job's first run only
always:<word>      the word, again and again
refuse             (first word) the engine refuses the launch
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator.base.files import write_json
from orchestrator.control.places import trimmed
from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.control import Control, read_control
from orchestrator.rundir.events import EventWriter, read_events
from orchestrator.rundir.launch import read_launch
from orchestrator.rundir.layout import RunDirectory

Placement = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Effect:
    """What a word does to the allocation, beside what it writes.

    Attributes:
        state: its new state, as the engine sees it; None: the same as before.
        failure_class: what the engine says ended it.
        stubborn: it ignores `stop` from now on.
        workers: that it has from now on.
        placement: (node, workers) of them; None: the engine chooses.
    """

    state: str | None = None
    failure_class: str | None = None
    stubborn: bool = False
    workers: int | None = None
    placement: Placement | None = None


_SILENT = {"wait": Effect(), "vanish": Effect("absent"), "stubborn": Effect(stubborn=True)}
"""Words that write nothing."""


def perform(
    word: str, run: RunDirectory, allocation: str, token: int, placement: Placement, *, joined: bool = False
) -> Effect:
    """Do one word of a script.

    Args:
        word: to do.
        run: its files.
        allocation: its name.
        token: its fencing token.
        placement: (node, workers) that it has.
        joined: these are all that the run's allocations have together, and nobody but the engine can change that.

    Raises:
        ValueError: there is no such word.
    """
    name, _, argument = word.partition(":")
    if name == "first":
        first = run.run.endswith("-r1")
        return perform(argument, run, allocation, token, placement, joined=joined) if first else Effect()
    if name in _SILENT:
        return _SILENT[name]
    writer = EventWriter(run, AllocationFiles(run, allocation).writer, token)
    match name:
        case "start":
            writer.append("agent_started", pid=1, start_ticks=1, host="simulated", allocation=allocation)
            writer.append("started", world_size=read_launch(run).workers)
            return Effect("running")
        case "resize":
            control = _wish(run)
            return _view(run, writer, control.world_size, "resize", control.placement)
        case "follow" if joined:
            return _follow(run, writer, placement)
        case "follow":
            control = _wish(run)
            there = control.placement is None or dict(control.placement) == dict(placement)
            same = control.world_size == _workers(run) and there
            return Effect() if same else _view(run, writer, control.world_size, "resize", control.placement)
        case "workers":
            return _view(run, writer, int(argument), "lost")
        case "goodput":
            useful, redone, idle = map(float, argument.split("/"))
            writer.append("goodput", useful_seconds=useful, redone_seconds=redone, idle_seconds=idle)
            return Effect()
        case "say":
            writer.append(argument)
            return Effect()
        case "progress":
            writer.append("progress", done=float(argument), total=10.0, unit="steps")
            return Effect()
        case "trial":
            _trial(run, writer, int(argument))
            return Effect()
        case "succeed" | "fail" | "linger":
            return _finish(writer, name, argument)
        case "die":
            return Effect("ended", argument or None)
    raise ValueError(f"a simulated run cannot {word!r}")


def _wish(run: RunDirectory) -> Control:
    """What the controller wants of it."""
    control = read_control(run)
    assert control is not None, "the controller writes it before a launch"
    return control


def _workers(run: RunDirectory) -> int:
    """That it has, by its own word."""
    told = [event.data["world_size"] for event in read_events(run, {}) if event.kind in {"started", "resized"}]
    return int(told[-1])


def _view(
    run: RunDirectory, writer: EventWriter, workers: int, cause: str, placement: Placement | None = None
) -> Effect:
    views = sum(1 for event in read_events(run, {}) if event.kind == "resized")
    told = {} if placement is None else {"nodes": dict(placement)}
    writer.append("resized", world_size=workers, epoch=views + 2, cause=cause, **told)
    return Effect(workers=workers, placement=placement)


def _follow(run: RunDirectory, writer: EventWriter, has: Placement) -> Effect:
    """As many of the workers that it has as its control.json wants share its work."""
    control = _wish(run)
    shared = trimmed(has, control.world_size)
    workers = sum(count for _, count in shared)
    if workers != _workers(run):
        _view(run, writer, workers, "resize", shared)
    return Effect()


def stop_effect(run: RunDirectory, token: int) -> Effect:
    """It was asked to stop, and does."""
    control = read_control(run)
    cause = control.cause if control else None
    EventWriter(run, "agent-0", token).append("finished", outcome="stopped", message="", cause=cause)
    return Effect("ended")


def _finish(writer: EventWriter, name: str, argument: str) -> Effect:
    data: dict[str, Any] = {"outcome": "succeeded", "message": "all done"}
    if name == "fail":
        data = {"outcome": "failed", "message": "it broke", "failure_class": argument or "application", "exit_code": 1}
    writer.append("finished", **data)
    return Effect(None if name == "linger" else "ended")


def _trial(run: RunDirectory, writer: EventWriter, index: int) -> None:
    run.job.trials.mkdir(parents=True, exist_ok=True)
    record = {"index": index, "state": "succeeded", "metrics": {"val_error": 1 / (index + 1)}}
    write_json(run.job.trials / f"{index:05d}.json", record)
    writer.append("trial", index=index, state="succeeded")
