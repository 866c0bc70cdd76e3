"""The arithmetic of a training: iterations, virtual workers, and multiply-adds, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.base.errors import UsageError
from orchestrator.blueprint.batches import EpochBatches
from orchestrator.blueprint.complexity import Complexity

if TYPE_CHECKING:
    from orchestrator.spec.data import LastBatch

BACKWARD_PER_FORWARD = 2
"""A backward pass multiplies twice for each multiplication of the forward pass: once for the gradient of the weights,
once for that of the inputs. Source: Kaplan et al., arXiv 2001.08361, section 2.1."""


@dataclass(frozen=True)
class TrainingCost:
    """What a training does, whatever the number of workers.

    Attributes:
        samples: training samples of an epoch: the positions of its order.
        epochs: how many.
        batch_size: samples of the global batch.
        samples_per_virtual_worker: samples of one slice of the batch; None: the whole batch is one slice.
        last_batch: what becomes of an epoch's last batch where it is not whole.

    Raises:
        UsageError: where one of them is not positive.
    """

    samples: int
    epochs: int
    batch_size: int
    samples_per_virtual_worker: int | None = None
    last_batch: LastBatch = "keep"

    def __post_init__(self) -> None:
        if min(self.samples, self.epochs, self.batch_size, self.slice_samples) < 1:
            raise UsageError(
                f"{self.samples} samples, {self.epochs} epochs, batch {self.batch_size} and {self.slice_samples} "
                "samples for each virtual worker must all be positive"
            )

    @property
    def slice_samples(self) -> int:
        """Samples of one virtual worker."""
        return self.batch_size if self.samples_per_virtual_worker is None else self.samples_per_virtual_worker

    @property
    def virtual_workers(self) -> int:
        """V = ceil(batch / samples of a slice)."""
        return -(-self.batch_size // self.slice_samples)

    @property
    def batches(self) -> EpochBatches:
        """The global batches of an epoch."""
        return EpochBatches(self.samples, self.batch_size, self.last_batch)

    @property
    def steps_per_epoch(self) -> int:
        """Global batches of an epoch."""
        return self.batches.steps

    @property
    def steps(self) -> int:
        """Global batches of the training."""
        return self.steps_per_epoch * self.epochs

    @property
    def total_samples(self) -> int:
        """Samples of the training, repeated ones included."""
        return self.batches.samples * self.epochs

    def forward_flops(self, complexity: Complexity) -> int:
        """Multiply-adds of all forward passes of the training; evaluation is not counted."""
        return complexity.flops * self.total_samples

    def total_flops(self, complexity: Complexity) -> int:
        """Multiply-adds of all forward and backward passes: three times those of the forward passes."""
        return (1 + BACKWARD_PER_FORWARD) * self.forward_flops(complexity)
