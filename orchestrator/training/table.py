"""The table of a step's slices: what each worker writes of its own, and what all read of it once it is gathered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from orchestrator.base.errors import UsageError
from orchestrator.training.group import Group

MOST_LOSSES = 16
_HEAD = 5  # stop, view, checkpoint, out of memory, losses known
_COLUMNS = 3 + MOST_LOSSES  # index, samples, loss, each named loss: what stands before a slice's moments
_NAMES_BYTES = 1024
_UNKNOWN = -1


@dataclass(frozen=True)
class Flags:
    """What a worker has noticed between steps; the table carries the largest of all workers to everybody.

    Attributes:
        stop: it was asked to stop.
        view: the newest epoch that it knows of.
        checkpoint: how many checkpoints were asked for.
    """

    stop: bool = False
    view: int = 0
    checkpoint: int = 0


@dataclass(frozen=True)
class SliceRow:
    """What one slice gave.

    Attributes:
        index: of the slice.
        samples: whose loss it is.
        loss: (), summed over them.
        losses: the same of each part of the loss that has a name.
        moments: (M,) of the batch-norm layers.
    """

    index: int
    samples: int
    loss: torch.Tensor
    losses: Mapping[str, torch.Tensor]
    moments: torch.Tensor


@dataclass(frozen=True)
class Gathered:
    """The table, the same on every worker.

    Attributes:
        flags: the largest of all workers.
        out_of_memory: whether any worker ran out of it.
        samples: of all slices.
        loss: summed over them, in slice order.
        losses: the same of each named loss; empty where the task has one without a name.
        moments: (n, M) in slice order, of slices of two samples and more.
    """

    flags: Flags
    out_of_memory: bool
    samples: int
    loss: float
    losses: dict[str, float]
    moments: torch.Tensor


class StepTable:
    """One worker's end of the table, for many steps.

    Args:
        group: the workers.
        width: M, moments of a slice.
    """

    def __init__(self, group: Group, width: int) -> None:
        self._group, self._width = group, width
        self._names: tuple[str, ...] | None = None

    def gather(self, rows: list[SliceRow], room: int, flags: Flags, *, out_of_memory: bool) -> Gathered:
        """Exchange the rows of a step.

        Args:
            rows: of this worker's slices with samples.
            room: the most that any worker has.
            flags: of this worker.
            out_of_memory: whether a pass of this worker failed for it.
        """
        for row in rows:
            self._learn(tuple(row.losses))
        known = _UNKNOWN if self._names is None else len(self._names)
        head = [float(flags.stop), float(flags.view), float(flags.checkpoint), float(out_of_memory), float(known)]
        own = torch.zeros(_HEAD + room * (_COLUMNS + self._width), device=self._group.device)
        own[:_HEAD] = torch.tensor(head)
        for line, row in zip(own[_HEAD:].view(room, -1), rows, strict=False):
            line[:2] = torch.tensor([float(row.index), float(row.samples)])
            line[2] = row.loss
            for column, value in enumerate(row.losses.values(), 3):
                line[column] = value
            line[_COLUMNS:] = row.moments
        return self._read(self._group.all_gather(own), room)

    def _read(self, gathered: torch.Tensor, room: int) -> Gathered:
        heads = gathered[:, :_HEAD].tolist()
        if {head[4] for head in heads} != {heads[0][4]}:
            self._share_names()
        table = gathered[:, _HEAD:].reshape(self._group.size * room, -1)
        numbers = table[:, :_COLUMNS].tolist()
        used = sorted((line[0], place) for place, line in enumerate(numbers) if line[1])
        lines = [numbers[place] for _, place in used]
        places = [place for _, place in used if numbers[place][1] > 1]
        names = self._names or ()
        return Gathered(
            flags=Flags(
                stop=any(head[0] for head in heads),
                view=int(max(head[1] for head in heads)),
                checkpoint=int(max(head[2] for head in heads)),
            ),
            out_of_memory=any(head[3] for head in heads),
            samples=int(sum(line[1] for line in lines)),
            loss=sum(line[2] for line in lines),
            losses={name: sum(line[3 + column] for line in lines) for column, name in enumerate(names)},
            moments=table[places, _COLUMNS:],
        )

    def _learn(self, names: tuple[str, ...]) -> None:
        if len(names) > MOST_LOSSES:
            raise UsageError(f"the task has {len(names)} losses, more than {MOST_LOSSES}", hint="add some of them up")
        if self._names is not None and names != self._names:
            raise UsageError(
                f"the task's losses are called {', '.join(names)}, and were {', '.join(self._names)} before",
                hint="return the same names for every batch; a loss may be zero",
            )
        self._names = names

    def _share_names(self) -> None:
        """Some worker has had no slice with samples yet, and cannot know what the losses are called."""
        text = b"" if self._names is None else json.dumps(self._names).encode()
        if len(text) > _NAMES_BYTES:
            raise UsageError("the names of the task's losses are too long", hint=f"{_NAMES_BYTES} bytes is the limit")
        own = torch.tensor(list(text.ljust(_NAMES_BYTES)), dtype=torch.uint8, device=self._group.device)
        told = (bytes(line).decode().strip() for line in self._group.all_gather(own).tolist())
        self._learn(tuple(json.loads(next(text for text in told if text))))
