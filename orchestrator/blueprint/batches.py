"""How an epoch is cut into global batches, and what becomes of the last one: declared, and never silent.

Plans, the training engine and the data loaders count by this one rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.base.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.spec.data import LastBatch


@dataclass(frozen=True)
class EpochBatches:
    """The global batches of one epoch.

    Attributes:
        positions: of the epoch's order: its samples, or what a resampled order has instead.
        batch_size: samples of a whole batch.
        last: what becomes of a last batch that is not whole: `keep` uses it short, `drop` leaves its samples out of
            this epoch, `wrap` fills it up from the start of the epoch's own order.

    Raises:
        UsageError: there is nothing to train on.
    """

    positions: int
    batch_size: int
    last: LastBatch = "keep"

    def __post_init__(self) -> None:
        if self.positions < 1 or self.batch_size < 1:
            raise UsageError(f"{self.positions} samples make no batches of {self.batch_size}")
        if not self.steps:
            raise UsageError(
                f"data.last_batch is drop, and {self.positions} samples make no whole batch of {self.batch_size}",
                hint="lower train.batch_size, or keep the last batch",
            )

    @property
    def steps(self) -> int:
        """How many batches there are."""
        whole, rest = divmod(self.positions, self.batch_size)
        return whole + bool(rest and self.last != "drop")

    @property
    def samples(self) -> int:
        """Samples that an epoch uses, repeated ones included."""
        return self.positions if self.last == "keep" else self.steps * self.batch_size

    @property
    def note(self) -> str:
        """What is left out or repeated, in words and numbers; empty where nothing is."""
        if self.samples < self.positions:
            return f"each epoch leaves out the last {self.positions - self.samples} of its {self.positions} positions"
        rounds, again = divmod(self.samples, self.positions)
        if rounds == 1:
            return f"each epoch uses the first {again} of its {self.positions} positions again" if again else ""
        more = f", and the first {again} once more" if again else ""
        return f"each epoch uses each of its {self.positions} positions {rounds} times{more}"

    def start(self, step: int) -> int:
        """The position at which the batch of a step begins."""
        return step * self.batch_size

    def size(self, step: int) -> int:
        """Samples of the batch of a step; positions past the end of the order are those from its start again."""
        return min(self.batch_size, self.samples - step * self.batch_size)
