"""SGD with momentum, its parameter groups, and the learning rate as a function of samples seen."""

from __future__ import annotations

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


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Two groups: what decays, and norm parameters and biases, which do not.

    Source: Goyal et al., arXiv 1706.02677, section 5.1, and pycls (no weight decay on batch-norm parameters).
    """
    spared = {
        id(parameter)
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if isinstance(module, _NORMS) or name == "bias"
    }
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trainable if id(p) not in spared], "weight_decay": weight_decay},
        {"params": [p for p in trainable if id(p) in spared], "weight_decay": 0.0},
    ]


def build_sgd(model: nn.Module, config: SGDConfig) -> torch.optim.SGD:
    """SGD over the model's parameter groups; fused, since one call for all tensors is what small models need."""
    groups = [group for group in parameter_groups(model, config.weight_decay) if group["params"]]
    return torch.optim.SGD(
        groups, lr=0.0, momentum=config.momentum, nesterov=config.nesterov and config.momentum > 0, fused=True
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate
