"""Forward and backward of one worker's slices in one step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Generic

import torch

from orchestrator.training.batchnorm import SliceStatistics
from orchestrator.training.compilation import compiled_calls
from orchestrator.training.config import TrainConfig
from orchestrator.training.layout.protocol import Layout
from orchestrator.training.memory import is_out_of_memory
from orchestrator.training.precision import computing
from orchestrator.training.seeding import seed_slice
from orchestrator.training.table import SliceRow
from orchestrator.training.task import BatchT, Losses, Task

_CURE = "turn train.activation_checkpointing on, or lower train.samples_per_virtual_worker"


class SlicePasses(Generic[BatchT]):
    """The passes of one step.

    Args:
        task: the recipe.
        layout: where gradients go.
        config: of the training.
        statistics: of the batch-norm layers.
        device: where it is computed.
        workers: that share the step.
        step: its number since the start.
        parts: that each slice is run in.
        loss_scale: what each loss is multiplied with before its backward pass.
    """

    def __init__(
        self,
        task: Task[BatchT],
        layout: Layout,
        config: TrainConfig,
        statistics: SliceStatistics,
        device: torch.device,
        *,
        workers: int,
        step: int,
        parts: int,
        loss_scale: float,
    ) -> None:
        self._task, self._layout, self._config = task, layout, config
        self._statistics, self._device = statistics, device
        self._step, self._parts, self._loss_scale = step, parts, loss_scale
        # Where passes hold collectives the others wait in one of them: a pass cannot be given up.
        self._held_together = layout.runs_ghosts and workers > 1
        self._ghost: BatchT | None = None
        self.rows: list[SliceRow] = []
        self.out_of_memory = False

    def run(self, index: int | None, batches: Sequence[BatchT], *, last: bool) -> None:
        """Run one slice, part by part.

        Args:
            index: of the slice; None: this worker has none to run, or a ghost.
            batches: its parts that have samples; for a ghost any, and none where another pass of the step had some.
            last: of this worker's passes of the step.
        """
        if batches:
            self._ghost = batches[0]
        real = batches if index is not None else ()
        ghosts = self._layout.runs_ghosts
        passes = self._parts if ghosts else max(len(real), 1)
        told = index if real or not ghosts else None
        found: list[tuple[torch.Tensor, dict[str, torch.Tensor]]] = []
        for part in range(passes):
            with self._layout.slice_pass(told, last=last, ends=part + 1 == passes):
                if part < len(real) and index is not None:
                    found += self._tried(real[part], index, part)
                elif ghosts:
                    self._run_ghost()
        if found and index is not None:
            self.rows.append(self._row(index, sum(map(len, real)), found))

    def _tried(self, batch: BatchT, index: int, part: int) -> list[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
        """A part's losses; nothing where there is too little memory."""
        if self.out_of_memory:
            return []
        seed_slice(self._config.seed, self._step, index, self._device, part=part)
        try:
            return [self._forward_and_backward(batch, self._loss_scale)]
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if self._held_together:
                raise torch.OutOfMemoryError(f"{error}\n{_CURE}") from error
            self.out_of_memory = True
            return []

    def _run_ghost(self) -> None:
        """For the collectives of the pass alone; times zero, because as a part of a slice it is added up."""
        assert self._ghost is not None, "a ghost has samples"
        self._forward_and_backward(self._ghost, 0.0)

    def _forward_and_backward(self, batch: BatchT, scale: float) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        with self._statistics.capture(len(batch)):
            with computing(self._config.precision, self._device), compiled_calls():
                losses = self._layout.call(lambda: self._task.loss(self._layout.model, batch.to(self._device)))
                loss, named = _total(losses)
            (loss if scale == 1.0 else loss * scale).backward()  # type: ignore[no-untyped-call]
        return loss.detach(), named

    def _row(self, index: int, samples: int, found: list[tuple[torch.Tensor, dict[str, torch.Tensor]]]) -> SliceRow:
        loss = reduce(torch.add, (loss for loss, _ in found))
        named = {name: reduce(torch.add, (losses[name] for _, losses in found)) for name in found[0][1]}
        return SliceRow(index, samples, loss, named, self._statistics.row)


def _total(losses: Losses) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    if isinstance(losses, torch.Tensor):
        return losses, {}
    return reduce(torch.add, losses.values()), {name: value.detach() for name, value in losses.items()}
