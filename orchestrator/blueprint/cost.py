"""The arithmetic of a training: iterations, virtual workers, and multiply-adds, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.base.errors import UsageError
from orchestrator.blueprint.complexity import Complexity

BACKWARD_PER_FORWARD = 2
"""A backward pass multiplies twice for each multiplication of the forward pass: once for the gradient of the weights,
once for that of the inputs. Source: Kaplan et al., arXiv 2001.08361, section 2.1."""


@dataclass(frozen=True)
class TrainingCost:
    """What a training does, whatever the number of workers.

    Attributes:
        samples: training samples of an epoch.
        epochs: how often each is used.
        batch_size: samples of the global batch; the last batch of an epoch may be short.
        samples_per_virtual_worker: samples of one slice of the batch; None: the whole batch is one slice.

    Raises:
        UsageError: where one of them is not positive.
    """

    samples: int
    epochs: int
    batch_size: int
    samples_per_virtual_worker: int | None = None

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
    def steps_per_epoch(self) -> int:
        """Global batches of an epoch, the short one included."""
        return -(-self.samples // self.batch_size)

    @property
    def steps(self) -> int:
        """Global batches of the training."""
        return self.steps_per_epoch * self.epochs

    @property
    def total_samples(self) -> int:
        """Samples of the training, repeated ones included."""
        return self.samples * self.epochs

    def forward_flops(self, complexity: Complexity) -> int:
        """Multiply-adds of all forward passes of the training; evaluation is not counted."""
        return complexity.flops * self.total_samples

    def total_flops(self, complexity: Complexity) -> int:
        """Multiply-adds of all forward and backward passes: three times those of the forward passes."""
        return (1 + BACKWARD_PER_FORWARD) * self.forward_flops(complexity)
