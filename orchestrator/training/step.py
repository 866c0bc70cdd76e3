"""One step: forward and backward of this worker's slices, and the fixed-order sum over all slices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from orchestrator.base.errors import OrchestratorError, UsageError
from orchestrator.training.batching import StepBatch
from orchestrator.training.batchnorm import SliceStatistics
from orchestrator.training.compilation import compile_model
from orchestrator.training.config import TrainConfig
from orchestrator.training.group import Group
from orchestrator.training.layout.protocol import Layout
from orchestrator.training.loads import Loads
from orchestrator.training.memory import (
    can_checkpoint_activations,
    checkpoint_activations,
    keep_freed_memory,
    release_memory,
)
from orchestrator.training.passes import SlicePasses
from orchestrator.training.precision import LossScale, all_finite
from orchestrator.training.table import Flags, Gathered, StepTable
from orchestrator.training.task import BatchT, Request, Task


class NonFiniteLoss(OrchestratorError):
    """The loss, its gradient or what was learned became infinite or not a number."""

    code = "non_finite_loss"


@dataclass(frozen=True)
class StepPlace:
    """Which step it is.

    Attributes:
        number: of steps since the start.
        epoch: from 0.
        step: of the epoch, from 0.
        batch: what it uses.
    """

    number: int
    epoch: int
    step: int
    batch: StepBatch


@dataclass(frozen=True)
class StepState:
    """What one step leaves for the next besides tensors; it belongs to a training's state.

    Attributes:
        scale: fp16's loss scale.
        checkpointing: whether activations are computed twice since memory ran out.
        parts: that a slice is run in, `accumulate` times what a lack of memory made necessary; 0: `accumulate`.
    """

    scale: LossScale = field(default_factory=LossScale)
    checkpointing: bool = False
    parts: int = 0


@dataclass(frozen=True)
class StepResult:
    """What every worker knows after a step.

    Attributes:
        samples: samples that were used (fewer than planned where corrupt ones were skipped).
        loss: sum of their losses, added in slice order.
        losses: the same of each loss by name; empty where the task has only one without a name.
        flags: the largest of all workers.
        finite: whether the loss and its gradient are finite numbers.
        overflow: whether fp16 gradients were too large: the step is to be left out, the next one has a smaller scale.
        moments: (n, M) for `Stepper.statistics.update`.
        out_of_memory: whether the step was made twice, because a worker had too little memory the first time.
        exact: whether the bits are still those that they would be with more memory.
        state: for the next step.
    """

    samples: int
    loss: float
    losses: Mapping[str, float]
    flags: Flags
    finite: bool
    overflow: bool
    moments: torch.Tensor
    out_of_memory: bool
    exact: bool
    state: StepState


class Stepper:
    """Makes steps of one training on one worker, as long as the group stays the same.

    Args:
        task: the recipe.
        layout: after `enter`.
        config: of the training.
        group: the workers.
        device: where this one computes.
        state: what the last committed step left.
    """

    def __init__(
        self,
        task: Task[BatchT],
        layout: Layout,
        config: TrainConfig,
        group: Group,
        *,
        device: torch.device,
        state: StepState | None = None,
    ) -> None:
        self._task, self._layout, self._config = task, layout, config
        self._group, self._device = group, device
        self.state = state or StepState()
        self.statistics = SliceStatistics(layout.model, device)
        if self.statistics and config.accumulate > 1:
            raise UsageError(
                "train.accumulate does not go with batch norm: its statistics are those of a whole slice",
                hint="lower train.samples_per_virtual_worker instead",
            )
        if device.type == "cpu":
            keep_freed_memory()
        self._table = StepTable(group, self.statistics.width)
        if config.activation_checkpointing or self.state.checkpointing:
            checkpoint_activations(layout.model)
        if config.compile:
            compile_model(layout.model)

    @property
    def parts(self) -> int:
        """What each slice is run in."""
        return self.state.parts or self._config.accumulate

    def step(
        self,
        place: StepPlace,
        *,
        flags: Flags,
        ahead: Sequence[StepPlace] = (),
        then: Callable[[int], None] = lambda room: None,
    ) -> StepResult:
        """Leave the mean gradient of a step in `layout.gradients()`; parameters stay as they are.

        Args:
            place: which step.
            flags: what this worker has noticed.
            ahead: the steps of the epoch that come next: their samples can be made meanwhile.
            then: announces so many loads of what follows these steps.

        Raises:
            GroupBroken: a worker is gone; nothing has changed.
            UsageError: there are more workers than slices, or the task cannot work.
        """
        if self._group.size > len(place.batch.slices):
            raise UsageError(
                f"{self._group.size} workers cannot share a global batch of {len(place.batch.slices)} virtual workers",
                hint="lower train.samples_per_virtual_worker, or ask for fewer workers",
            )
        before = self.state
        while True:
            table = self._passes(place, flags, [place, *ahead], then)
            if not table.out_of_memory:
                return self._result(table, before)
            self._save_memory(place)

    def requests(self, place: StepPlace) -> list[Request]:
        """What this worker loads in a step, in order."""
        order = self._layout.passes(len(place.batch.slices), place.batch.filled)
        own = [index for index in order if index is not None]
        if not own and self._layout.runs_ghosts:
            own = [0]  # a ghost needs samples, whosever
        return [request for index in own for request in self._parts(place, index)]

    def _parts(self, place: StepPlace, index: int) -> list[Request]:
        cut = np.array_split(place.batch.slices[index], self.parts)
        return [Request("train", place.epoch, positions, place.batch.form) for positions in cut if len(positions)]

    def _passes(
        self, place: StepPlace, flags: Flags, coming: Sequence[StepPlace], then: Callable[[int], None]
    ) -> Gathered:
        """Run this worker's passes, gather the table, and finish the sum."""
        count, filled = len(place.batch.slices), place.batch.filled
        loads = Loads(self._task, [request for one in coming for request in self.requests(one)], then)
        passes = SlicePasses(
            self._task,
            self._layout,
            self._config,
            self.statistics,
            self._device,
            workers=self._group.size,
            step=place.number,
            parts=self.parts,
            loss_scale=self._loss_scale,
        )
        self.statistics.note_buffers()
        self._layout.begin_step(count, filled)
        order = self._layout.passes(count, filled) or (None,)
        for number, index in enumerate(order, 1):
            borrowed = index is None and number == 1 and self._layout.runs_ghosts
            requests = [] if index is None and not borrowed else self._parts(place, index or 0)
            batches = [batch for batch in (loads.next() for _ in requests) if len(batch)]
            passes.run(index, batches, last=number == len(order))
        self.statistics.refuse_other_changes()
        table = self._table.gather(
            passes.rows, -(-count // self._group.size), flags, out_of_memory=passes.out_of_memory
        )
        self._layout.reduce(1.0 / (max(table.samples, 1) * self._loss_scale))
        return table

    @property
    def _loss_scale(self) -> float:
        return self.state.scale.value if self._config.precision == "fp16" else 1.0

    def _result(self, table: Gathered, before: StepState) -> StepResult:
        saved = self.state.checkpointing != before.checkpointing
        finite, overflow = math.isfinite(table.loss), False
        if finite:
            finite = self._gradient_is_finite()
            if self._config.precision == "fp16":
                overflow, finite = not finite, finite or self.state.scale.can_shrink
                self.state = replace(self.state, scale=self.state.scale.after(overflow=overflow))
        return StepResult(
            samples=table.samples,
            loss=table.loss,
            losses=table.losses,
            flags=table.flags,
            finite=finite,
            overflow=overflow,
            moments=table.moments,
            out_of_memory=saved or self.state.parts != before.parts,
            exact=self.state.parts == before.parts and not (saved and self._config.compile),
            state=self.state,
        )

    def _gradient_is_finite(self) -> bool:
        """The same answer on every worker: a finite loss may have a gradient that is not (of sqrt at 0)."""
        finite = all_finite(self._layout.gradients().values())
        # Replicated gradients have the same bits everywhere; of sharded ones each worker sees its own.
        return finite if self._config.parallel == "ddp" else not self._group.any(not finite)

    def _save_memory(self, place: StepPlace) -> None:
        """Twice the computing of activations first; half a slice at a time only where that changes no statistics."""
        release_memory(self._device)
        model, on = self._layout.model, self._config.activation_checkpointing or self.state.checkpointing
        if not on and can_checkpoint_activations(model):
            checkpoint_activations(model)
            self.state = replace(self.state, checkpointing=True)
        elif not self.statistics and self.parts < max(map(len, place.batch.slices)):
            self.state = replace(self.state, parts=2 * self.parts)
        else:
            raise torch.OutOfMemoryError(
                f"a slice of {max(map(len, place.batch.slices))} samples does not fit into the memory of {self._device}"
                f"{', even with activations computed twice' if on else ''}; lower train.samples_per_virtual_worker"
            )
