"""What a recipe is to the engine: a small object that builds a model, loads samples and says what a loss is.

A recipe knows nothing of workers: it is given positions, and what it returns for them must depend on them alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, Self, TypeVar

import torch
from torch import nn

from orchestrator.data.arrays import Int64s

Split = Literal["train", "validation", "test"]
Request = tuple[int, Int64s]
"""An epoch and positions (n,) in its order."""


class Batch(Protocol):
    """The inputs and targets of some samples."""

    def __len__(self) -> int:
        """Samples; less than the positions asked for where corrupt ones were skipped."""
        ...

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        ...


BatchT = TypeVar("BatchT", bound=Batch)


class Task(Protocol[BatchT]):
    """A recipe, as the engine calls it."""

    @property
    def identity(self) -> Mapping[str, str | int | float]:
        """What a checkpoint belongs to (dataset version, model); a resume with another one is refused."""
        ...

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of what `evaluate` sums up."""
        ...

    @property
    def look_ahead(self) -> int:
        """How many loads `expect` is told of, the next one included; at least 1."""
        ...

    def build_model(self) -> nn.Module:
        """A new model on the CPU, its parameters drawn from torch's default generator."""
        ...

    def samples(self, split: Split) -> int:
        """How many samples the split has; 0 where there is no such split."""
        ...

    def load(self, split: Split, positions: Int64s, epoch: int) -> BatchT:
        """The samples at `positions` (n,) of an epoch's order; of `train`, augmented."""
        ...

    def expect(self, split: Split, requests: Sequence[Request]) -> None:
        """What this worker will load next, in order: a hint, so that it can be made meanwhile. It changes no result."""
        ...

    def loss(self, model: nn.Module, batch: BatchT) -> torch.Tensor:
        """The training loss (), summed over the samples; the engine divides by their number."""
        ...

    def evaluate(self, model: nn.Module, batch: BatchT) -> torch.Tensor:
        """Sums (len(measures),) over the samples; the engine divides by their number."""
        ...
