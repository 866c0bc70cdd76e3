"""Learning rates as functions of the samples seen, so that they do not depend on how many workers there were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from orchestrator.base.errors import UsageError

ScheduleKind = Literal["cosine", "half_cosine", "step", "linear", "exponential", "polynomial", "constant"]
WarmupKind = Literal["linear_from_factor", "linear_from_zero", "gradual"]


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


def exponential(progress: float, end: float) -> float:
    """`end` to the power of t / T, from 1 to `end`: pycls, `exp`.

    Args:
        progress: t / T, in [0, 1].
        end: last rate / first rate.
    """
    return float(end**progress)


def polynomial(progress: float, power: float) -> float:
    """(1 - t / T) ^ power: with power 2 the schedule of LARS (arXiv 1708.03888, algorithm 1), with 1 pycls's `lin`."""
    return float((1.0 - progress) ** power)


def linear_warmup(progress: float, factor: float) -> float:
    """What the rate is multiplied with: factor (1 - a) + a, rising linearly from `factor` at a = 0 to 1 at a = 1.

    Source: Detectron (`WARM_UP_METHOD` linear) and pycls, which multiply the scheduled rate with it, as is done here.

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
        schedule: `cosine`, `linear`, `exponential` (pycls, over the whole training, down to `minimum`); `half_cosine`,
            the same from the end of the warm-up on (MAE); `polynomial`; `step`; `constant`.
        milestones: for `step`: samples after which the rate falls, rising.
        gamma: for `step`: the factor of each fall.
        minimum: the rate at the end of those that fall.
        power: for `polynomial`.
        warmup_samples: samples of the warm-up; 0: none.
        warmup: `linear_from_factor`: see `linear_warmup`. `gradual`: from the rate `warmup_from`, by the same amount
            each iteration, to what is scheduled at its end (Goyal et al., arXiv 1706.02677, section 2.2; SlowFast).
            `linear_from_zero`: the same from 0 (MAE).
        warmup_factor: first rate / scheduled rate; 0.1 in pycls.
        warmup_from: the first rate of `gradual`: in the 1-hour paper that of the small minibatch.

    Raises:
        UsageError: where these make no schedule.
    """

    base: float
    total_samples: int
    schedule: ScheduleKind = "cosine"
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1
    minimum: float = 0.0
    power: float = 2.0
    warmup_samples: float = 0
    warmup: WarmupKind = "linear_from_factor"
    warmup_factor: float = 0.1
    warmup_from: float = 0.0

    def __post_init__(self) -> None:
        rules = (
            (0 < self.base < math.inf, f"the peak is {self.base}, it must be positive"),
            (self.total_samples >= 1, f"the training has {self.total_samples} samples, it needs at least one"),
            (0 <= self.warmup_samples < math.inf, f"the warm-up has {self.warmup_samples} samples"),
            (0 <= self.warmup_factor <= 1, f"the warm-up factor is {self.warmup_factor}, it must be in [0, 1]"),
            (
                0 <= self.warmup_from <= self.base,
                f"the warm-up begins at {self.warmup_from}, above the peak or below 0",
            ),
            (self.schedule in get_args(ScheduleKind), f"there is no schedule {self.schedule!r}"),
            (self.warmup in get_args(WarmupKind), f"there is no warm-up {self.warmup!r}"),
            (self.schedule == "step" or not self.milestones, "milestones are for the schedule step"),
            (self.milestones == tuple(sorted(set(self.milestones))), "the milestones do not rise"),
            (0 <= self.minimum < self.base, f"the minimum is {self.minimum}, it must be in [0, the peak)"),
            (self.schedule != "exponential" or self.minimum > 0, "the schedule exponential needs a minimum above 0"),
            (0 < self.power < math.inf, f"the power is {self.power}, it must be positive"),
            (
                self.schedule != "half_cosine" or self.warmup_samples < self.total_samples,
                "the warm-up is as long as the training, and the schedule half_cosine begins after it",
            ),
        )
        wrong = [rule for holds, rule in rules if not holds]
        if wrong:
            raise UsageError("the learning rate has no schedule: " + "; ".join(wrong), hint="correct the optim section")

    def at(self, samples: int, /) -> float:
        """The rate of the iteration that starts when so many samples have been seen; beyond the end, the last one."""
        if samples < 0:
            raise ValueError(f"{samples} samples cannot have been seen")
        if samples >= self.warmup_samples:
            return self._scheduled(samples)
        progress = samples / self.warmup_samples
        if self.warmup == "linear_from_factor":
            return self._scheduled(samples) * linear_warmup(progress, self.warmup_factor)
        first = self.warmup_from if self.warmup == "gradual" else 0.0
        return first + (self._scheduled(self.warmup_samples) - first) * progress

    def _scheduled(self, samples: float) -> float:
        if self.schedule == "step":
            return self.base * step(samples, self.milestones, self.gamma)
        if self.schedule == "constant":
            return self.base
        if self.schedule == "exponential":
            return self.base * exponential(self._progress(samples), self.minimum / self.base)
        return self.minimum + (self.base - self.minimum) * self._falling(samples)

    def _falling(self, samples: float) -> float:
        """From 1 to 0."""
        if self.schedule == "half_cosine":
            return cosine(self._progress(samples, self.warmup_samples))
        progress = self._progress(samples)
        return cosine(progress) if self.schedule == "cosine" else polynomial(progress, self._power)

    @property
    def _power(self) -> float:
        return 1.0 if self.schedule == "linear" else self.power

    def _progress(self, samples: float, begin: float = 0.0) -> float:
        """The share of the training after `begin` that is over."""
        return min(max(0.0, (samples - begin) / (self.total_samples - begin)), 1.0)
