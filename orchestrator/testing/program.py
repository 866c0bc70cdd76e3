"""The words that a simulated run can do, one a tick.

wait               nothing
start              its ranks run
progress:<n>       n of 10 steps are done
resize             it has as many workers as its control.json wants, and where that says
follow             the same, where its control.json wants another number or place than it has
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
refuse             (first word) the engine refuses the launch
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator.base.files import write_json
from orchestrator.rundir.control import read_control
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


def perform(word: str, run: RunDirectory, allocation: str, token: int, placement: Placement) -> Effect:
    """Do one word of a script.

    Args:
        word: to do.
        run: its files.
        allocation: its name.
        token: its fencing token.
        placement: (node, workers) that it has.

    Raises:
        ValueError: there is no such word.
    """
    name, _, argument = word.partition(":")
    if name == "first":
        return perform(argument, run, allocation, token, placement) if run.run.endswith("-r1") else Effect()
    writer = EventWriter(run, "agent-0", token)
    match name:
        case "wait":
            return Effect()
        case "start":
            writer.append("agent_started", pid=1, start_ticks=1, host="simulated", allocation=allocation)
            writer.append("started", world_size=read_launch(run).workers)
            return Effect("running")
        case "resize":
            control = read_control(run)
            assert control is not None, "the controller writes it before a launch"
            return _view(run, writer, control.world_size, "resize", control.placement)
        case "follow":
            control = read_control(run)
            assert control is not None, "the controller writes it before a launch"
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
        case "vanish":
            return Effect("absent")
        case "stubborn":
            return Effect(stubborn=True)
    raise ValueError(f"a simulated run cannot {word!r}")


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
