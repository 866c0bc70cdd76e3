"""What a person chooses of an optimizer; the learning rate comes from the schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from orchestrator.base.errors import UsageError

VelocityForm = Literal["plain", "absorbed", "corrected"]
"""What the velocity of SGD holds: sums of gradients, or of gradients times their rates; see `SGDConfig.velocity`."""
Undecayed = Literal["norms_and_biases", "vectors", "nothing"]
"""Which parameters have no weight decay; see `groups.decays`."""


class Schedule(Protocol):
    """A learning rate as a function of samples seen."""

    def at(self, samples: int, /) -> float:
        """The rate of the step that starts after `samples` samples."""
        ...


@dataclass(frozen=True)
class SGDConfig:
    """SGD with momentum.

    Attributes:
        momentum: 0 for plain SGD.
        nesterov: Nesterov's momentum.
        weight_decay: added to the gradient, of the parameters that decay.
        undecayed: which do not.
        velocity: what it holds. `plain`: u = m u + g, p = p - rate u (Goyal et al., arXiv 1706.02677, equation 9;
            torch). `absorbed`: v = m v + rate g, p = p - v (equation 10; Caffe), where a rate that changes takes effect
            slowly. `corrected`: equation 10 with momentum correction, v = m (rate / previous rate) v + rate g, which is
            equation 9 again but for rounding (Caffe2).
        layer_decay: rates fall by this factor from each layer to the one before it; 1: all are alike.

    Raises:
        UsageError: values out of range.
    """

    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 0.0
    undecayed: Undecayed = "norms_and_biases"
    velocity: VelocityForm = "plain"
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        _check(momentum=self.momentum, weight_decay=self.weight_decay, layer_decay=self.layer_decay)


@dataclass(frozen=True)
class LARSConfig:
    """Layer-wise adaptive rates: You et al., "Large Batch Training of Convolutional Networks", arXiv 1708.03888.

    Attributes:
        momentum: of algorithm 1.
        weight_decay: beta of equation 6, of the parameters that decay.
        trust: eta of equation 6.
        adapt_undecayed: parameters without decay have adapted rates too, as in the paper; else they take the schedule's
            rate, as in SimCLR and BYOL.
        undecayed: parameters without decay.
        momentum_correction: multiply the velocity, which holds the rate, as Goyal et al. do after equation 10.
        layer_decay: see `SGDConfig`.

    Raises:
        UsageError: values out of range.
    """

    momentum: float = 0.9
    weight_decay: float = 5e-4
    trust: float = 0.001
    adapt_undecayed: bool = False
    undecayed: Undecayed = "norms_and_biases"
    momentum_correction: bool = False
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        _check(momentum=self.momentum, weight_decay=self.weight_decay, layer_decay=self.layer_decay)
        if not 0 < self.trust < math.inf:
            raise UsageError(f"the trust coefficient is {self.trust}, it must be positive")


@dataclass(frozen=True)
class AdamWConfig:
    """Adam with decoupled weight decay: Loshchilov and Hutter, arXiv 1711.05101, algorithm 2, as torch scales it.

    Attributes:
        betas: decay of the two moments.
        epsilon: added to the root of the second one.
        weight_decay: each step multiplies what decays with 1 - rate weight_decay.
        undecayed: parameters without decay.
        layer_decay: see `SGDConfig`.

    Raises:
        UsageError: values out of range.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.05
    undecayed: Undecayed = "norms_and_biases"
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        first, second = self.betas
        _check(beta1=first, beta2=second, weight_decay=self.weight_decay, layer_decay=self.layer_decay)
        if not 0 < self.epsilon < math.inf:
            raise UsageError(f"epsilon is {self.epsilon}, it must be positive")


OptimizerConfig = SGDConfig | LARSConfig | AdamWConfig


def _check(**values: float) -> None:
    """Factors of what is kept are in [0, 1); weight decay is finite, and that of the layers at most 1."""
    for name, value in values.items():
        highest = {"weight_decay": math.inf, "layer_decay": math.nextafter(1, 2)}.get(name, 1.0)
        if not 0 <= value < highest or (name == "layer_decay" and not value):
            raise UsageError(f"{name.replace('_', ' ')} is {value}, which is out of its range")
