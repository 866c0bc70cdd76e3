"""Evaluation over any number of workers: fixed chunks, each computed whole by one worker, merged in one order."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from orchestrator.base.errors import DataError
from orchestrator.training.group import Group
from orchestrator.training.slices import share
from orchestrator.training.task import BatchT, Request, Split, Task

CHUNK = 256
"""Samples of a chunk; fixed, since the bits of a convolution can depend on how many images it is given."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured on a split.

    Attributes:
        means: of the task's measures; empty where there is no sample.
        samples: that were measured.
        skipped: that were corrupt and left out.
    """

    means: dict[str, float]
    samples: int
    skipped: int


def evaluate(
    task: Task[BatchT],
    model: nn.Module,
    split: Split,
    group: Group,
    *,
    stop: Callable[[], bool] = lambda: False,
    then: Callable[[int], None] = lambda room: None,
) -> Evaluation | None:
    """The means of the task's measures over a split; None where any worker was asked to stop.

    Args:
        task: the recipe.
        model: the same on every worker; it is in training mode again afterwards if it was before.
        split: which samples.
        group: the workers; all of them call this.
        stop: asked before every chunk.
        then: announces so many loads of what follows the evaluation.

    Raises:
        DataError: on every worker, where the split has samples and all of them are corrupt.
    """
    total = task.samples(split)
    chunks = -(-total // CHUNK)
    requests = evaluation_requests(total, group)
    sums = torch.zeros(-(-chunks // group.size), 1 + len(task.measures), dtype=torch.float64, device=group.device)
    training, stopped = model.training, False
    model.eval()
    with torch.inference_mode():
        for number, (row, request) in enumerate(zip(sums, requests, strict=False)):
            stopped = stopped or stop()
            if not stopped:
                announced = requests[number : number + task.look_ahead]
                task.expect(split, announced)
                if len(announced) < task.look_ahead:
                    then(task.look_ahead - len(announced))
                batch = task.load(split, request[1], request[0])
                row[0] = len(batch)
                row[1:] = task.evaluate(model, batch.to(group.device)) if len(batch) else 0.0
    model.train(training)
    if group.any(stopped):
        return None
    gathered = group.all_gather(sums).flatten(0, 1).T.tolist()
    counted, *measured = (math.fsum(column) for column in gathered)  # exact, so that the order cannot matter
    refuse_all_corrupt(f"the split {split}", positions=total, counted=int(counted))
    named = zip(task.measures, measured, strict=True)
    means = {name: value / counted for name, value in named} if counted else {}
    return Evaluation(means, int(counted), total - int(counted))


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


def evaluation_requests(total: int, group: Group) -> list[Request]:
    """What this worker loads to evaluate a split of so many samples."""
    return [_request(chunk, total) for chunk in share(-(-total // CHUNK), group.rank, group.size)]


def _request(chunk: int, total: int) -> Request:
    return 0, np.arange(chunk * CHUNK, min(total, (chunk + 1) * CHUNK), dtype=np.int64)
