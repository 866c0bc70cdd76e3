"""What a recipe is to the engine: a small object that builds a model, loads samples and says what a loss is.

A recipe knows nothing of workers: it is given positions, and what it returns for them must depend on them alone. It
derives from `Task` and writes the first five methods; the others have defaults.

Before each part of a slice, and before each chunk of an evaluation, torch's default generators (the CPU's and the
device's) are seeded: `loss` and `evaluate` may draw from them. Numpy's and Python's generators are not: numbers drawn
from them would depend on the number of workers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeVar

import torch
from torch import nn

from orchestrator.data.arrays import Int64s
from orchestrator.training.batching import Batching, Form, UniformBatching

if TYPE_CHECKING:
    from orchestrator.training.config import TrainConfig

Split = Literal["train", "validation", "test"]
Losses = torch.Tensor | Mapping[str, torch.Tensor]
"""A loss (), or several by name, whose sum is what is trained; each is a sum over the samples."""


@dataclass(frozen=True)
class Request:
    """Samples that are to be loaded.

    Attributes:
        split: of the data.
        epoch: whose order is meant.
        positions: (n,) in that order.
        form: of the step, see `batching.Form`.
    """

    split: Split
    epoch: int
    positions: Int64s
    form: Form = ()


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

    def build_model(self) -> nn.Module:
        """A new model on the CPU, its parameters drawn from torch's default generator.

        What is not trained by the optimizer (a teacher) has `requires_grad` off.
        """
        ...

    def samples(self, split: Split) -> int:
        """How many samples the split has; 0 where there is no such split."""
        ...

    def load(self, request: Request) -> BatchT:
        """The samples of a request; of `train`, augmented."""
        ...

    def loss(self, model: nn.Module, batch: BatchT) -> Losses:
        """The training loss, summed over the samples; the engine divides by their number."""
        ...

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the columns of what `evaluate` returns; none: there is nothing to evaluate."""
        return ()

    def evaluate(self, model: nn.Module, batch: BatchT) -> torch.Tensor:
        """What is measured of a batch: sums over its samples (len(measures),), or records (n, len(measures))."""
        raise AssertionError("a task with measures says how they are made")

    @property
    def chunk(self) -> int:
        """Samples that `evaluate` is given at once, on any number of workers: fewer where they are large (clips).

        The bits of a measure can depend on it, and a checkpoint belongs to it.
        """
        return 256

    def summarise(self, split: Split, records: torch.Tensor, samples: int) -> dict[str, float]:
        """From all that `evaluate` returned to numbers; every worker calls it with the same.

        Args:
            split: which one.
            records: (n, len(measures)) float64 on the CPU, in the order of the samples.
            samples: that were measured, more than 0.

        Returns:
            By default the mean of each measure; the sum is exact, so that the order cannot matter.
        """
        sums = (math.fsum(column) for column in records.T.tolist())
        return {name: value / samples for name, value in zip(self.measures, sums, strict=True)}

    def batches(self, config: TrainConfig) -> Batching:
        """Which positions each step uses."""
        return UniformBatching(config.batches(self.samples("train")), config.plan)

    def after_step(self, model: nn.Module, samples: int) -> None:
        """Change what the optimizer does not (a momentum encoder), after a step that ends at so many samples.

        Only with operations on single elements that round once (`mul_`, `add_`; no `lerp_`, no `add_` with `alpha`):
        parameters may be sharded, and others round otherwise where an element lies otherwise. For a momentum encoder:
        `ema.average_into`.
        """

    @property
    def look_ahead(self) -> int:
        """How many loads `expect` is told of, the next one included; at least 1."""
        return 1

    def expect(self, requests: Sequence[Request]) -> None:
        """What this worker will load next, in order: a hint, so that it can be made meanwhile. It changes no result."""
