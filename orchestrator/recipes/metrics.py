"""What is known of a classifier after an epoch, in the words of the tracker."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Self

from orchestrator.recipes.skipped import SKIPPED_METRICS
from orchestrator.training.config import EpochReport


@dataclass(frozen=True)
class EpochMetrics:
    """What is known after an epoch; validation values are None where it was not evaluated.

    Attributes:
        epoch: from 1.
        samples: training samples so far, those among them that were skipped included.
        train_loss: mean over the epoch, label smoothing included.
        lr: learning rate of its last step.
        val_loss: mean cross-entropy.
        val_error: share of wrong top-1 answers.
        samples_per_second: None where the epoch was too short to say.
        skipped: training samples that were corrupt and left out so far.
        val_skipped: validation samples that were, in this epoch's evaluation.
    """

    epoch: int
    samples: int
    train_loss: float
    lr: float
    val_loss: float | None
    val_error: float | None
    samples_per_second: float | None
    skipped: int = 0
    val_skipped: int = 0

    @classmethod
    def of(cls, report: EpochReport) -> Self:
        """In the words of a classifier."""
        found = report.validation
        return cls(
            epoch=report.epoch,
            samples=report.samples,
            train_loss=report.train_loss,
            lr=report.rate,
            val_loss=found.get("loss"),
            val_error=found.get("error"),
            samples_per_second=report.samples_per_second,
            skipped=report.skipped,
            val_skipped=report.validation_skipped,
        )

    def values(self) -> dict[str, float]:
        """All values that are known, by name, `epoch` and `samples` included; what was skipped, once anything was."""
        known = {SKIPPED_METRICS.get(name, name): value for name, value in asdict(self).items()}
        unsaid = {name for name in SKIPPED_METRICS.values() if not known[name]}
        return {name: float(value) for name, value in known.items() if value is not None and name not in unsaid}
