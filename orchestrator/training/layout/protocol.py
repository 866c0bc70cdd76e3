"""What the engine asks of a layout. Implementations: `replicated` (parallel: ddp) and `sharded` (parallel: fsdp)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import nn

from orchestrator.training.group import Group

Tensors = dict[str, torch.Tensor]
"""Tensors by name. Keys of a training's state: `model/<parameter or buffer>`, `optimizer/<slot>/<parameter>`,
`ema/<parameter or buffer>`."""


T = TypeVar("T")


class StateLost(Exception):
    """What a dead worker alone held is gone: go back to the newest checkpoint."""


@dataclass(frozen=True)
class Arrival:
    """What changed when a group was formed.

    Attributes:
        group: all that take part in the hand-over: the members in order, then those who leave.
        members: how many of them stay: ranks 0 to members - 1.
        holders: ranks that hold the state, all after the same step; the others have none, or an older one.
        held: for sharded states: of each rank its (rank, size) in the group that the state was sharded over; None where
            it holds nothing.
    """

    group: Group
    members: int
    holders: tuple[int, ...]
    held: tuple[tuple[int, int] | None, ...] = ()


class Layout(Protocol):
    """One training's parameters on one worker, across all views.

    The order of calls: for each view `enter`, then for each step `begin_step`, for each pass `slice_pass`, `reduce`.
    A step that fails in a collective raises what the group raises, and leaves parameters and optimizer as they were.
    """

    @property
    def model(self) -> nn.Module:
        """What a forward pass is made with; may be another object after `enter`."""
        ...

    @property
    def needs_leavers(self) -> bool:
        """Whether those who leave must take part in the hand-over: they hold what nobody else does."""
        ...

    @property
    def steps(self) -> int:
        """Steps in the state that this worker holds; the loss of workers may lead back to an earlier one. -1: none."""
        ...

    def parameters(self) -> Mapping[str, torch.Tensor]:
        """This worker's part of each trainable parameter, by name: what the optimizer updates, in place."""
        ...

    def gradients(self) -> Mapping[str, torch.Tensor]:
        """The same of the mean gradient, after `reduce`; parameters that no sample touched have zeros."""
        ...

    def enter(self, arrival: Arrival, group: Group | None, state: Tensors) -> Tensors:
        """Lay the state out on a new group.

        Args:
            arrival: who hands over to whom.
            group: the members' group, for the steps that follow; None where this worker leaves.
            state: this worker's part of what is not in the model: `optimizer/…` and `ema/…`; on a worker without state
                every key with a tensor of its shape.

        Returns:
            The same keys in the new layout, all after `steps` steps, which may be less than before.

        Raises:
            StateLost: no living worker holds a part of it: make a new layout of a new model.
            GroupBroken: call it again with the next group; nothing is lost by that.
        """
        ...

    def call(self, function: Callable[[], T]) -> T:
        """Run a forward that uses `model`, or any part of it, and say what it returns; around autograd's graph only."""
        ...

    def committed(self, steps: int, state: Tensors) -> None:
        """After every step whose update was made, and after a checkpoint was read: the state is that after `steps`.

        All workers call it at once: parts may be copied between them, so that the loss of a worker loses none.
        """
        ...

    def abandon(self) -> None:
        """The group broke: hold on to nothing of it, so that its connections close; `enter` is what comes next."""
        ...

    def passes(self, count: int, filled: int) -> tuple[int | None, ...]:
        """What this worker runs in a step: indices of its slices, None for a ghost pass.

        Args:
            count: slices of the step.
            filled: how many of them have samples; they are the first ones.
        """
        ...

    @property
    def runs_ghosts(self) -> bool:
        """Whether a ghost pass must be computed (with any samples), so that collectives match."""
        ...

    def begin_step(self, count: int, filled: int) -> None:
        """Before the first pass."""
        ...

    def slice_pass(self, index: int | None, *, last: bool, ends: bool = True) -> AbstractContextManager[None]:
        """Around forward and backward of one part of a slice, mostly the whole of it.

        A worker without any pass to run still enters it once with None and `last`, so that the overlapped sums match.
        The k-th pass of a step is for the k-th of `passes`, also where its slice turns out to have no samples: then
        None is given where ghosts are run (and the ghost stands for a sum of zeros), else nothing runs inside.

        Args:
            index: the slice; None: a ghost.
            last: of this worker's passes of the step.
            ends: whether it is the slice's last part; gradients of its parts are added one after the other.
        """
        ...

    def reduce(self, scale: float) -> None:
        """Finish the sum over all slices, in its fixed order, and multiply it by `scale`: see `gradients`."""
        ...

    def squared_norms(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Of each of the (parameter-shaped) tensors the sum of squares over all workers: (n,) float64.

        The same bits on every worker and for every number of workers.
        """
        ...

    def checkpointed(self, state: Tensors) -> dict[str, torch.Tensor]:
        """A view of the model and of `state` for torch.distributed.checkpoint: whole tensors, or DTensors."""
        ...
