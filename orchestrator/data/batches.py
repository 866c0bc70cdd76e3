"""Which positions the global batches of an epoch have, also the last one: declared, and never silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from orchestrator.blueprint.batches import EpochBatches
from orchestrator.data.arrays import Int64s

Last = Literal["keep", "drop", "pad", "wrap"]


@dataclass(frozen=True)
class BatchPlan:
    """The batches of an epoch, as positions of its order.

    Attributes:
        samples: positions of the epoch's order.
        batch_size: samples of a whole batch.
        last: what becomes of a last batch that is not whole: `keep` leaves it short, `drop` leaves it out, `pad` fills
            it up with its last sample, which counts once (fixed shapes, for evaluation and compiled models), `wrap`
            fills it up from the start of the epoch, and these samples count.

    Raises:
        UsageError: there is no sample, or `drop` leaves no batch.
    """

    samples: int
    batch_size: int
    last: Last = "keep"

    def __post_init__(self) -> None:
        _ = self._batches

    @property
    def steps(self) -> int:
        """How many batches an epoch has."""
        return self._batches.steps

    def positions(self, step: int) -> Int64s:
        """The positions (n,) of the batch of a step, 0 to steps - 1.

        Those of `wrap` go on past the end of the order: `Order.rows_at` has the rows from its start there, and each
        use of a sample has augmentations of its own, as in the training engine.
        """
        start = self._batches.start(step)
        places = np.arange(start, start + self._batches.size(step), dtype=np.int64)
        return np.minimum(places, self.samples - 1) if self.last == "pad" else places

    def real(self, step: int) -> int:
        """How many samples of a batch count, from its first one on; the rest is padding."""
        size = self._batches.size(step)
        return min(size, self.samples - self._batches.start(step)) if self.last == "pad" else size

    @property
    def note(self) -> str:
        """What is dropped, padded or repeated, in words and numbers; empty where nothing is."""
        padding = self._batches.samples - self.samples
        if self.last == "pad" and padding:
            return f"the last batch is filled up with {padding} copies of its last sample, which do not count"
        return self._batches.note

    @property
    def _batches(self) -> EpochBatches:
        return EpochBatches(self.samples, self.batch_size, "wrap" if self.last == "pad" else self.last)
