"""SGD, and what of a model decays."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from orchestrator.training.optim import SGD, SGDConfig, decays


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))


def test_norm_parameters_and_biases_do_not_decay() -> None:
    assert decays(net()) == {
        "0.weight": True,
        "1.weight": False,
        "1.bias": False,
        "3.weight": True,
        "3.bias": False,
    }


def test_frozen_parameters_are_not_optimised() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    assert SGD(model, SGDConfig()).parameters == [model.weight]


@pytest.mark.parametrize(
    "config",
    [
        SGDConfig(momentum=0.9, nesterov=True, weight_decay=0.01),
        SGDConfig(momentum=0.5, nesterov=False, weight_decay=0.0),
        SGDConfig(momentum=0.0, nesterov=False, weight_decay=0.01),
    ],
)
def test_steps_have_the_bits_of_torchs_sgd(config: SGDConfig) -> None:
    ours, theirs = net(), net()
    mine = SGD(ours, config)
    decay = decays(theirs)
    named = dict(theirs.named_parameters())
    groups = [
        {"params": [p for n, p in named.items() if decay[n]], "weight_decay": config.weight_decay},
        {"params": [p for n, p in named.items() if not decay[n]], "weight_decay": 0.0},
    ]
    torchs = torch.optim.SGD(groups, lr=0.1, momentum=config.momentum, nesterov=config.nesterov, fused=True)
    for step in range(4):
        for model in (ours, theirs):
            model.zero_grad()
            model(torch.linspace(-1, step, 36).view(4, 1, 3, 3)).square().sum().backward()
        mine.step(0.1 / (step + 1))
        for group in torchs.param_groups:
            group["lr"] = 0.1 / (step + 1)
        torchs.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_parameter_without_a_gradient_stays() -> None:
    model = nn.Linear(2, 2)
    before = model.weight.detach().clone()
    model.bias.grad = torch.ones(2)
    SGD(model, SGDConfig(weight_decay=0.1)).step(0.1)
    assert torch.equal(model.weight, before)
    assert model.bias.grad is not None


def test_velocities_are_restored() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.load_state_dict(first.state_dict())
    one, two = SGD(first, SGDConfig()), SGD(second, SGDConfig())
    for _ in range(2):
        first(torch.ones(1, 2)).sum().backward()
        one.step(0.1)
    two.load_state_dict(one.state_dict())
    second.load_state_dict(first.state_dict())
    for model, optimizer in ((first, one), (second, two)):
        optimizer.zero_grad()
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step(0.1)
    assert torch.equal(first.weight, second.weight)
