"""Which positions each step of an epoch uses, cut into slices: uniform here; a recipe may bring a rule of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from orchestrator.blueprint.batches import EpochBatches
from orchestrator.data.arrays import Int64s
from orchestrator.training.slices import SlicePlan

Form = tuple[int, ...]
"""How samples of a step are loaded where that changes from step to step, in a recipe's own numbers: (frames, size)."""


@dataclass(frozen=True)
class StepBatch:
    """The global batch of one step.

    Attributes:
        slices: of each virtual worker its positions (n,) in the epoch's order; those with samples come first.
        form: how they are loaded.
        rate_scale: what the schedule's learning rate is multiplied with.
    """

    slices: tuple[Int64s, ...]
    form: Form = ()
    rate_scale: float = 1.0

    @property
    def samples(self) -> int:
        """Positions of the whole batch."""
        return sum(map(len, self.slices))

    @property
    def filled(self) -> int:
        """How many slices have samples."""
        return sum(1 for positions in self.slices if len(positions))


class Batching(Protocol):
    """A pure function of (epoch, step): workers and world size are not arguments."""

    @property
    def virtual_workers(self) -> int:
        """The fewest slices of any step: there are never more workers than these."""
        ...

    @property
    def smallest_slice(self) -> int:
        """Samples of the smallest whole slice; batch norm needs two."""
        ...

    @property
    def note(self) -> str:
        """What each epoch leaves out or repeats, in words; empty where nothing."""
        ...

    def steps(self, epoch: int) -> int:
        """Steps of an epoch."""
        ...

    def samples(self, epoch: int) -> int:
        """Positions that an epoch uses, repeated ones included."""
        ...

    def step(self, epoch: int, step: int) -> StepBatch:
        """The global batch of a step, from 0."""
        ...


@dataclass(frozen=True)
class UniformBatching:
    """Every step has the same number of samples, in the epoch's order; the last one may be short.

    Attributes:
        epoch_batches: of one epoch; all epochs are alike.
        plan: how a global batch is cut.
    """

    epoch_batches: EpochBatches
    plan: SlicePlan

    @property
    def virtual_workers(self) -> int:
        """V."""
        return self.plan.count

    @property
    def smallest_slice(self) -> int:
        """Samples of a whole slice."""
        return self.plan.slice_samples

    @property
    def note(self) -> str:
        """What each epoch leaves out or repeats."""
        return self.epoch_batches.note

    def steps(self, epoch: int) -> int:
        """The same for each epoch."""
        return self.epoch_batches.steps

    def samples(self, epoch: int) -> int:
        """The same for each epoch."""
        return self.epoch_batches.samples

    def step(self, epoch: int, step: int) -> StepBatch:
        """Consecutive positions."""
        start = self.epoch_batches.start(step)
        parts = self.plan.slices(self.epoch_batches.size(step))
        return StepBatch(tuple(np.arange(start + p.start, start + p.stop, dtype=np.int64) for p in parts))
