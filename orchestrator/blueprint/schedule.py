"""Learning rates as functions of the samples seen, so that they do not depend on how many workers there were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from orchestrator.base.errors import UsageError

ScheduleKind = Literal["cosine", "step", "constant"]


def cosine(progress: float) -> float:
    """Half a period of a cosine: 0.5 (1 + cos(pi t / T)), from 1 at t = 0 to 0 at t = T.

    Source: Loshchilov and Hutter, "SGDR", arXiv 1608.03983, equation 5 without restarts; pycls, `cos`.

    Args:
        progress: t / T, in [0, 1].
    """
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def step(samples: float, milestones: Sequence[float], gamma: float) -> float:
    """Gamma to the power of the number of milestones that are reached (a milestone is reached at its own sample).

    Source: He et al., arXiv 1512.03385, section 3.4; pycls, `steps`, and torch's MultiStepLR.
    """
    return float(gamma ** sum(samples >= milestone for milestone in milestones))


def linear_warmup(progress: float, factor: float) -> float:
    """What the rate is multiplied with: factor (1 - a) + a, rising linearly from `factor` at a = 0 to 1 at a = 1.

    Source: Goyal et al., "Accurate, Large Minibatch SGD", arXiv 1706.02677, section 2.2 (gradual warm-up); pycls, which
    multiplies the scheduled rate with it, as is done here.

    Args:
        progress: a, the share of the warm-up that is over, in [0, 1].
        factor: the first rate / the scheduled one.
    """
    return factor * (1.0 - progress) + progress


@dataclass(frozen=True)
class LearningRate:
    """The learning rate at every sample of a training.

    Attributes:
        base: the peak, for a whole global batch.
        total_samples: T, samples of the whole training, repeated ones included.
        schedule: `cosine`, `step` or `constant`.
        milestones: for `step`: samples after which the rate falls, rising.
        gamma: for `step`: the factor of each fall.
        warmup_samples: samples of the linear warm-up; 0: none.
        warmup_factor: first rate / scheduled rate; 0.1 in pycls.

    Raises:
        UsageError: where these make no schedule.
    """

    base: float
    total_samples: int
    schedule: ScheduleKind = "cosine"
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1
    warmup_samples: int = 0
    warmup_factor: float = 0.1

    def __post_init__(self) -> None:
        rules = (
            (0 < self.base < math.inf, f"the peak is {self.base}, it must be positive"),
            (self.total_samples >= 1, f"the training has {self.total_samples} samples, it needs at least one"),
            (self.warmup_samples >= 0, f"the warm-up has {self.warmup_samples} samples"),
            (0 <= self.warmup_factor <= 1, f"the warm-up factor is {self.warmup_factor}, it must be in [0, 1]"),
            (self.schedule in ("cosine", "step", "constant"), f"there is no schedule {self.schedule!r}"),
            (self.schedule == "step" or not self.milestones, "milestones are for the schedule step"),
            (self.milestones == tuple(sorted(set(self.milestones))), "the milestones do not rise"),
        )
        wrong = [rule for holds, rule in rules if not holds]
        if wrong:
            raise UsageError("the learning rate has no schedule: " + "; ".join(wrong), hint="correct the optim section")

    @classmethod
    def from_epochs(
        cls,
        base: float,
        *,
        samples_per_epoch: int,
        epochs: int,
        batch_size: int,
        schedule: ScheduleKind = "cosine",
        steps: Sequence[float] = (),
        gamma: float = 0.1,
        warmup_iterations: int = 0,
        warmup_factor: float = 0.1,
    ) -> Self:
        """The same, told in the words of a workload.

        Args:
            base: the peak, for a whole global batch.
            samples_per_epoch: training samples that an epoch uses.
            epochs: how many.
            batch_size: samples of the global batch.
            schedule: `cosine`, `step` or `constant`.
            steps: for `step`: epochs after which the rate falls; fractions are allowed.
            gamma: the factor of each fall.
            warmup_iterations: global batches of the linear warm-up.
            warmup_factor: first rate / scheduled rate.
        """
        return cls(
            base=base,
            total_samples=samples_per_epoch * epochs,
            schedule=schedule,
            milestones=tuple(epoch * samples_per_epoch for epoch in steps),
            gamma=gamma,
            warmup_samples=warmup_iterations * batch_size,
            warmup_factor=warmup_factor,
        )

    def at(self, samples: int, /) -> float:
        """The rate of the iteration that starts when so many samples have been seen; beyond the end, the last one."""
        if samples < 0:
            raise ValueError(f"{samples} samples cannot have been seen")
        rate = self.base * self._scheduled(min(samples, self.total_samples))
        if samples < self.warmup_samples:
            rate *= linear_warmup(samples / self.warmup_samples, self.warmup_factor)
        return rate

    def _scheduled(self, samples: int) -> float:
        if self.schedule == "cosine":
            return cosine(samples / self.total_samples)
        return step(samples, self.milestones, self.gamma)
