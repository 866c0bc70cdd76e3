"""One step: forward and backward of this worker's slices, the fixed-order sum over all slices, one optimizer update."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import nn

from orchestrator.base.errors import OrchestratorError, UsageError
from orchestrator.training.batchnorm import SliceStatistics
from orchestrator.training.group import Group
from orchestrator.training.optim import SGD
from orchestrator.training.seeding import seed_slice
from orchestrator.training.slices import Slice, SlicePlan, passes, share
from orchestrator.training.task import BatchT, Request, Task
from orchestrator.training.tree_sum import SubtreeSums, maximal_nodes, tree_all_reduce

_HEAD = 3  # samples, loss, stop flag: what stands before a slice's moments in its row


class NonFiniteLoss(OrchestratorError):
    """The loss became infinite or not a number."""

    code = "non_finite_loss"


@dataclass(frozen=True)
class StepPlace:
    """Which step it is: its number since the start, its epoch, and where its global batch starts in the epoch."""

    number: int
    epoch: int
    start: int
    samples: int


@dataclass(frozen=True)
class StepResult:
    """What every worker knows after a step.

    Attributes:
        samples: samples that were used (fewer than planned where corrupt ones were skipped).
        loss: sum of their losses, added in slice order.
        stop: whether any worker was asked to stop.
    """

    samples: int
    loss: float
    stop: bool


class Stepper:
    """Makes steps of one model on one worker.

    Args:
        task: the recipe.
        model: the parameters, the same on every worker.
        optimizer: of the model.
        plan: how a global batch is cut.
        group: the workers.
        seed: of the run.
        exact: whether the sum has a fixed order; else the engine's all-reduce, whose bits depend on W.

    Raises:
        UsageError: there are more workers than slices.
    """

    def __init__(
        self,
        task: Task[BatchT],
        model: nn.Module,
        optimizer: SGD,
        plan: SlicePlan,
        group: Group,
        *,
        seed: int,
        exact: bool,
    ) -> None:
        if group.size > plan.count:
            raise UsageError(
                f"{group.size} workers cannot share a global batch of {plan.count} virtual workers",
                hint="lower train.samples_per_virtual_worker, or ask for fewer workers",
            )
        self._task, self._model, self._optimizer = task, model, optimizer
        self._plan, self._group, self._seed, self._exact = plan, group, seed, exact
        self._parameters = optimizer.parameters
        self._sizes = [p.numel() for p in self._parameters]
        self._passes = passes(plan.count, group.rank, group.size)
        self._nodes = maximal_nodes(plan.count, share(plan.count, group.rank, group.size))
        self.statistics = SliceStatistics(model, group.device)

    def step(
        self,
        place: StepPlace,
        *,
        rate: float,
        stop: bool,
        ahead: Sequence[StepPlace] = (),
        then: Callable[[int], None] = lambda room: None,
    ) -> StepResult:
        """Make one step with the learning rate `rate`.

        Args:
            place: which step.
            rate: of learning.
            stop: whether this worker was asked to stop.
            ahead: the steps of the epoch that come next: their samples can be made meanwhile.
            then: announces so many loads of what follows these steps.

        Raises:
            NonFiniteLoss: on every worker at once.
        """
        slices = self._plan.slices(place.samples)
        rows = torch.zeros(len(self._passes), _HEAD + self.statistics.row.numel(), device=self._group.device)
        rows[:, 2] = float(stop)
        sums = SubtreeSums(self._nodes) if self._exact else None
        if sums is None or self._plan.count == 1:
            self._optimizer.zero_grad()
        requests = (request for one in (place, *ahead) for request in self.requests(one))
        coming = deque(islice(requests, len(self._passes) + self._task.look_ahead))
        for row, index in zip(rows, self._passes, strict=True):
            if index is not None and len(slices[index]):
                self._announce(list(islice(coming, self._task.look_ahead)), then)
                self._run(slices[index], place, coming.popleft(), row, sums)
        table = self._in_slice_order(self._group.all_gather(rows))
        result = self._read(table[:, :_HEAD].tolist(), place)
        self._reduce(sums, filled=sum(map(bool, map(len, slices))), samples=result.samples)
        self._optimizer.step(rate)
        self.statistics.update(table[table[:, 0] > 1, _HEAD:])
        return result

    def _announce(self, requests: list[Request], then: Callable[[int], None]) -> None:
        self._task.expect("train", requests)
        if (room := self._task.look_ahead - len(requests)) > 0:
            then(room)

    def requests(self, place: StepPlace) -> list[Request]:
        """What this worker loads in a step: the positions of each of its slices that is not empty."""
        parts = self._plan.slices(place.samples)
        mine = [parts[index] for index in self._passes if index is not None]
        return [
            (place.epoch, np.arange(place.start + part.start, place.start + part.stop, dtype=np.int64))
            for part in mine
            if len(part)
        ]

    def _run(
        self, part: Slice, place: StepPlace, request: Request, row: torch.Tensor, sums: SubtreeSums | None
    ) -> None:
        """Forward and backward of one slice; its row of the table, and its leaf of the sum."""
        if self._plan.count > 1 and sums is not None:
            self._optimizer.zero_grad()
        epoch, positions = request
        batch = self._task.load("train", positions, epoch)
        if len(batch):
            seed_slice(self._seed, place.number, part.index, self._group.device)
            with self.statistics.capture(len(batch)):
                loss = self._task.loss(self._model, batch.to(self._group.device))
            loss.backward()  # type: ignore[no-untyped-call]
            row[0], row[1] = len(batch), loss.detach()
            row[_HEAD:] = self.statistics.row
        if sums is not None and self._plan.count > 1:
            sums.add(part.index, self._flat_gradient())

    def _in_slice_order(self, gathered: torch.Tensor) -> torch.Tensor:
        """(W, passes, M) to (V, M): ghost passes are left out; each worker has a slice, and so its stop flag stays."""
        workers = range(self._group.size)
        return torch.cat([gathered[w, : len(share(self._plan.count, w, self._group.size))] for w in workers])

    def _read(self, heads: list[list[float]], place: StepPlace) -> StepResult:
        samples, loss = int(sum(head[0] for head in heads)), sum(head[1] for head in heads)
        if not math.isfinite(loss):
            raise NonFiniteLoss(
                f"the training loss is {loss} in epoch {place.epoch + 1}, step {place.number}",
                hint="a lower optim.lr or a longer optim.warmup_iterations usually cures it",
            )
        return StepResult(samples, loss, any(head[2] for head in heads))

    def _reduce(self, sums: SubtreeSums | None, *, filled: int, samples: int) -> None:
        """Leave in every parameter's gradient the mean over the global batch's samples; zeros where all are corrupt."""
        scale = 1.0 / max(samples, 1)
        if self._plan.count == 1:
            if gradients := [p.grad for p in self._parameters if p.grad is not None]:
                torch._foreach_mul_(gradients, scale)
            return
        if sums is None:
            total = self._group.all_reduce(self._flat_gradient())
        else:
            like = torch.empty(sum(self._sizes), device=self._group.device)
            total = tree_all_reduce(self._group, sums.finish(), count=self._plan.count, filled=filled, like=like)
        for parameter, part in zip(self._parameters, torch.split(total.mul_(scale), self._sizes), strict=True):
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
            parameter.grad.copy_(part.view_as(parameter))

    def _flat_gradient(self) -> torch.Tensor:
        """All gradients in one new tensor (N,); zeros where a parameter has none."""
        return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in self._parameters])
