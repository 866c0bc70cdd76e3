"""control.json: what the controller wants of a run. The controller writes it, agents and ranks poll it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from orchestrator.base.files import read_json, write_json
from orchestrator.rundir.layout import RunDirectory

Want = Literal["run", "stop"]
StopCause = Literal["cancel", "preempt", "resize", "drain", "time_limit"]


@dataclass(frozen=True)
class Control:
    """The controller's wish.

    Attributes:
        generation: rises with each write; a reader that has seen it need not act again.
        token: the fencing token of the run that is meant.
        want: `run`, or `stop` (checkpoint within `grace_seconds`, then end).
        cause: why it should stop.
        world_size: wanted workers.
        checkpoint: rises each time a checkpoint is asked for.
        grace_seconds: how long a stop may take before processes are killed.
        placement: (node, workers) of all of the wanted workers. An engine with several nodes obeys it, so that a run
            can move; one with a single node has no choice. None: where the launch said.
    """

    generation: int
    token: int
    want: Want
    world_size: int
    cause: StopCause | None = None
    checkpoint: int = 0
    grace_seconds: float = 20.0
    placement: tuple[tuple[str, int], ...] | None = None

    def next(self, **changes: Any) -> Control:
        """The wish that follows this one."""
        return replace(self, generation=self.generation + 1, **changes)


def write_control(run: RunDirectory, control: Control, *, durable: bool = True) -> None:
    """Replace control.json atomically."""
    write_json(run.control, control.__dict__, durable=durable)


def read_control(run: RunDirectory) -> Control | None:
    """The newest wish; None where there is none yet. Keys of a newer controller are passed over."""
    document = read_json(run.control)
    if document is None:
        return None
    known = {field.name for field in fields(Control)}
    values = {key: value for key, value in document.items() if key in known}
    placement = values.get("placement")
    return Control(**values | {"placement": None if placement is None else tuple(map(tuple, placement))})
