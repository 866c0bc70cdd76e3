"""SGD and its parameter groups."""

from __future__ import annotations

import torch
from torch import nn

from orchestrator.training.optim import SGDConfig, build_sgd, parameter_groups, set_rate


def test_norm_parameters_and_biases_do_not_decay() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))
    decaying, spared = parameter_groups(model, 0.1)
    assert decaying == {"params": [model[0].weight, model[3].weight], "weight_decay": 0.1}
    assert spared == {"params": [model[1].weight, model[1].bias, model[3].bias], "weight_decay": 0.0}


def test_frozen_parameters_are_not_optimised() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    assert [len(group["params"]) for group in build_sgd(model, SGDConfig()).param_groups] == [1]


def test_a_step_is_nesterovs() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    optimizer = build_sgd(model, SGDConfig(momentum=0.5, nesterov=True, weight_decay=0.0))
    set_rate(optimizer, 0.1)
    for _ in range(2):
        model.weight.grad = torch.ones(1, 1)
        optimizer.step()
    # velocity 1, then 1.5; each step goes by gradient + momentum * velocity: 1.5, then 1.75
    assert torch.allclose(model.weight, torch.tensor([[1 - 0.15 - 0.175]]))
