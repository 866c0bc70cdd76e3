"""SGD with momentum, what of a model decays, and the learning rate as a function of samples seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

_NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)


class Schedule(Protocol):
    """A learning rate as a function of samples seen."""

    def at(self, samples: int, /) -> float:
        """The rate of the step that starts after `samples` samples."""
        ...


@dataclass(frozen=True)
class SGDConfig:
    """Settings of SGD; the rate comes from the schedule.

    Attributes:
        momentum: 0 for plain SGD.
        nesterov: Nesterov's momentum (needs momentum above 0).
        weight_decay: of all parameters but norms' and biases.
    """

    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 0.0


def decays(model: nn.Module) -> dict[str, bool]:
    """For each trainable parameter, by name, whether it decays: all but norm parameters and biases.

    Source: Goyal et al., arXiv 1706.02677, section 5.1, and pycls (no weight decay on batch-norm parameters).
    """
    spared = {
        id(parameter)
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if isinstance(module, _NORMS) or name == "bias"
    }
    return {name: id(p) not in spared for name, p in model.named_parameters() if p.requires_grad}


class SGD:
    """SGD with (Nesterov's) momentum: the kernel of `torch.optim.SGD(fused=True)` without its class.

    The first optimizer of torch.optim in a process imports torch.compile: 3.5 s of CPU time, half of a small trial.

    Args:
        model: whose trainable parameters are optimised.
        config: see `SGDConfig`.
    """

    def __init__(self, model: nn.Module, config: SGDConfig) -> None:
        self._config = config
        self._parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        moving = self._parameters if config.momentum else {}
        self._velocity = {name: torch.zeros_like(p) for name, p in moving.items()}
        decay = decays(model)
        self._groups = tuple(
            (weight_decay, tuple(name for name in self._parameters if decay[name] is chosen))
            for chosen, weight_decay in ((True, config.weight_decay), (False, 0.0))
        )

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The trainable parameters, in the model's order."""
        return list(self._parameters.values())

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for parameter in self._parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update with the learning rate `rate`: v = momentum v + g; p = p - rate (g + momentum v), g with decay.

        Parameters without a gradient stay. Nesterov's form as in torch (Sutskever et al., ICML 2013, rewritten).
        """
        for weight_decay, names in self._groups:
            used = [name for name in names if self._parameters[name].grad is not None]
            if used:
                torch._fused_sgd_(
                    [self._parameters[name] for name in used],
                    [gradient for name in used if (gradient := self._parameters[name].grad) is not None],
                    [self._velocity[name] for name in used if name in self._velocity],
                    weight_decay=weight_decay,
                    momentum=self._config.momentum,
                    lr=rate,
                    dampening=0.0,
                    nesterov=self._config.nesterov and self._config.momentum > 0,
                    maximize=False,
                    is_first_step=False,  # velocities start at zero, which comes to the same
                )

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The velocities, by the names of their parameters."""
        return dict(self._velocity)

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """The inverse of `state_dict`."""
        for name, velocity in self._velocity.items():
            velocity.copy_(state[name])
