"""Evaluation over any number of workers: fixed chunks, each computed whole by one worker, merged in one order.

It is done in rounds, in each of which every worker computes one chunk, and all hold what was found so far: it goes on
where it stood when the workers change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import nn

from orchestrator.base.errors import DataError
from orchestrator.training.group import Group, alone
from orchestrator.training.seeding import seed_chunk
from orchestrator.training.table import Flags
from orchestrator.training.task import Batch, BatchT, Request, Split, Task


@dataclass(frozen=True)
class Evaluation:
    """What was measured on a split.

    Attributes:
        means: what the task made of its measures; empty where there is no sample.
        samples: that were measured.
        skipped: that were corrupt and left out.
    """

    means: dict[str, float]
    samples: int
    skipped: int


@dataclass(frozen=True)
class Partial:
    """An evaluation that is under way.

    Attributes:
        split: of the data.
        chunks: that are measured; they are the first ones.
        counted: samples in them.
        records: what the task returned for them, in order.
    """

    split: Split
    chunks: int = 0
    counted: int = 0
    records: tuple[tuple[float, ...], ...] = field(default=(), repr=False)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """From the values of its attributes."""
        return cls(**{**document, "records": tuple(map(tuple, document["records"]))})


class Forward(Protocol):
    """How a worker lets the task measure a batch; collectives inside match those of the other workers."""

    def __call__(self, batch: Batch, /) -> torch.Tensor:
        """What `Task.evaluate` returns."""
        ...


class Evaluator:
    """One worker's end of an evaluation, as long as the group stays the same.

    Args:
        task: the recipe.
        forward: measures a batch.
        group: the workers.
        seed: of the training, for measures that draw.
        ghosts: every worker has to measure something in every round, so that collectives match.
    """

    def __init__(
        self, task: Task[BatchT], forward: Forward, group: Group, *, seed: int = 0, ghosts: bool = False
    ) -> None:
        self._task, self._forward, self._group, self._ghosts = task, forward, group, ghosts
        self._seed = seed

    def complete(self, partial: Partial) -> bool:
        """Whether all chunks are measured."""
        return partial.chunks >= self._chunks(partial.split)

    def requests(self, partial: Partial, count: int) -> list[Request]:
        """What this worker loads next, at most `count` of them."""
        chunks = range(partial.chunks + self._group.rank, self._chunks(partial.split), self._group.size)
        return [self._request(partial.split, chunk) for chunk in chunks[:count]]

    def round(
        self, partial: Partial, flags: Flags, then: Callable[[int], None] = lambda room: None
    ) -> tuple[Partial, Flags]:
        """Measure one chunk on each worker.

        Args:
            partial: not complete; the same on every worker.
            flags: what this worker has noticed.
            then: announces so many loads of what follows the evaluation.

        Returns:
            What all know now, and the largest flags of all.

        Raises:
            GroupBroken: a worker is gone; nothing has changed.
        """
        announced = self.requests(partial, self._task.look_ahead)
        self._task.expect(announced)
        if (room := self._task.look_ahead - len(announced)) > 0:
            then(room)
        counted, records = self._measure(partial, announced)
        heads, found = self._gather(counted, records, flags)
        here = min(self._group.size, self._chunks(partial.split) - partial.chunks)
        return (
            Partial(
                partial.split,
                partial.chunks + here,
                partial.counted + sum(int(head[0]) for head in heads),
                (*partial.records, *found),
            ),
            Flags(
                stop=any(head[2] for head in heads),
                view=int(max(head[3] for head in heads)),
                checkpoint=int(max(head[4] for head in heads)),
            ),
        )

    def conclude(self, partial: Partial) -> Evaluation:
        """What a complete evaluation says.

        Raises:
            DataError: on every worker, where the split has samples and all of them are corrupt.
        """
        total = self._task.samples(partial.split)
        refuse_all_corrupt(f"the split {partial.split}", positions=total, counted=partial.counted)
        means: dict[str, float] = {}
        if partial.counted:
            records = torch.tensor(partial.records, dtype=torch.float64).view(-1, len(self._task.measures))
            means = self._task.summarise(partial.split, records, partial.counted)
        return Evaluation(means, partial.counted, total - partial.counted)

    def _measure(self, partial: Partial, requests: list[Request]) -> tuple[int, torch.Tensor]:
        """Samples of this worker's chunk, and its records (n, M)."""
        none = torch.zeros(0, len(self._task.measures), dtype=torch.float64)
        batch: Batch | None = self._task.load(requests[0]) if requests else None
        counted = 0 if batch is None else len(batch)
        if not counted and self._ghosts:
            batch = self._anything(partial.split)
        if batch is None or not len(batch):
            return 0, none
        seed_chunk(self._seed, partial.split, partial.chunks + self._group.rank, self._group.device)
        records = self._forward(batch.to(self._group.device)).detach().double()
        return counted, records.reshape(-1, len(self._task.measures)) if counted else none

    def _anything(self, split: Split) -> Batch | None:
        """A batch for a round in which this worker has none."""
        for chunk in range(self._chunks(split)):
            batch: Batch = self._task.load(self._request(split, chunk))
            if len(batch):
                return batch
        return None

    def _gather(
        self, counted: int, records: torch.Tensor, flags: Flags
    ) -> tuple[list[list[float]], list[tuple[float, ...]]]:
        head = [counted, len(records), flags.stop, flags.view, flags.checkpoint]
        device = self._group.device
        heads = self._group.all_gather(torch.tensor(head, dtype=torch.float64, device=device)).tolist()
        most = max(int(head[1]) for head in heads)
        if not most:
            return heads, []
        padded = torch.zeros(most, records.shape[1], dtype=torch.float64, device=device)
        padded[: len(records)] = records
        table = self._group.all_gather(padded).cpu()
        return heads, [
            tuple(row) for head, rows in zip(heads, table, strict=True) for row in rows[: int(head[1])].tolist()
        ]

    def _chunks(self, split: Split) -> int:
        return -(-self._task.samples(split) // self._task.chunk)

    def _request(self, split: Split, chunk: int) -> Request:
        size = self._task.chunk
        stop = min(self._task.samples(split), (chunk + 1) * size)
        return Request(split, 0, np.arange(chunk * size, stop, dtype=np.int64))


def evaluate(
    task: Task[BatchT], model: nn.Module, split: Split, *, device: torch.device | None = None, seed: int = 0
) -> Evaluation:
    """Measure a model on a split, in this process alone; the model's mode is as before afterwards.

    Args:
        task: the recipe.
        model: whole, on the device.
        split: of the data.
        device: where it is computed.
        seed: of the training, for measures that draw; torch's generators are seeded.

    Raises:
        DataError: the split has samples and all of them are corrupt.
    """

    def forward(batch: Batch) -> torch.Tensor:
        return task.evaluate(model, batch)  # type: ignore[arg-type]

    evaluator = Evaluator(task, forward, alone(device), seed=seed)
    partial, training = Partial(split), model.training
    model.eval()
    with torch.no_grad():
        while not evaluator.complete(partial):
            partial, _ = evaluator.round(partial, Flags())
    model.train(training)
    return evaluator.conclude(partial)


def refuse_all_corrupt(what: str, *, positions: int, counted: int) -> None:
    """Refuse to call a mean what nothing went into.

    Raises:
        DataError: there are positions, and no sample of them counted.
    """
    if positions and not counted:
        raise DataError(
            f"{what}: every one of its {positions} samples is corrupt; there is nothing to learn or measure",
            hint="`orchestrator data verify DATASET` says what is damaged; restore its shards or build it again",
        )
