"""Updates against torch's optimizers, and against the equations of the papers in double precision."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import nn

from orchestrator.training.optim import (
    AdamWConfig,
    LARSConfig,
    OptimizerConfig,
    SGDConfig,
    build_optimizer,
)
from orchestrator.training.optim.groups import decays

RATES = (0.1, 0.05, 0.2, 0.02)
ONCE_CONFIGS: tuple[OptimizerConfig, ...] = (
    SGDConfig(weight_decay=0.01),
    SGDConfig(weight_decay=0.01, velocity="corrected"),
    LARSConfig(weight_decay=0.01),
    AdamWConfig(),
)


def squares(tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack([tensor.double().square().sum() for tensor in tensors.values()])


def net() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(5, 3))
    return model.to(memory_format=torch.channels_last)


def gradients(model: nn.Module, step: int) -> dict[str, torch.Tensor]:
    model.zero_grad()
    images = torch.linspace(-1, step + 1, 108).view(4, 3, 3, 3)
    model(images).square().sum().backward()
    return {name: p.grad.contiguous() for name, p in model.named_parameters() if p.grad is not None}


def trained(config: OptimizerConfig, *, once: bool = False, double: bool = False) -> nn.Module:
    """The small net after four updates with falling and rising rates."""
    model = net().double() if double else net()
    optimizer = build_optimizer(config, model)
    parameters = dict(model.named_parameters())
    state = optimizer.fresh(parameters)
    for number, rate in enumerate(RATES):
        torch.manual_seed(number)
        slopes = {name: torch.randn(p.shape, dtype=torch.float32).to(p.dtype) for name, p in parameters.items()}
        previous = RATES[number - 1] if number else None
        optimizer.update(
            parameters,
            slopes,
            state,
            rate=rate,
            previous_rate=previous,
            updates=number,
            norms=squares,
            once=once,
        )
    return model


def assert_close(ours: nn.Module, theirs: nn.Module) -> None:
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.double(), b.double(), rtol=1e-5, atol=1e-6)


def torch_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    decaying, named = decays(model), dict(model.named_parameters())
    return [
        {"params": [p for n, p in named.items() if decaying[n]], "weight_decay": weight_decay},
        {"params": [p for n, p in named.items() if not decaying[n]], "weight_decay": 0.0},
    ]


def assert_bits_of(config: OptimizerConfig, torchs: torch.optim.Optimizer, theirs: nn.Module) -> None:
    ours = net()
    optimizer = build_optimizer(config, ours)
    parameters = dict(ours.named_parameters())
    state = optimizer.fresh(parameters)
    for number, rate in enumerate(RATES):
        optimizer.update(
            parameters,
            gradients(ours, number),
            state,
            rate=rate,
            previous_rate=None,
            updates=number,
            norms=squares,
            once=False,
        )
        gradients(theirs, number)
        for group in torchs.param_groups:
            group["lr"] = rate
        torchs.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "config",
    [
        SGDConfig(momentum=0.9, nesterov=True, weight_decay=0.01),
        SGDConfig(momentum=0.5, nesterov=False, weight_decay=0.0),
        SGDConfig(momentum=0.0, nesterov=False, weight_decay=0.01),
    ],
)
def test_sgd_has_the_bits_of_torchs(config: SGDConfig) -> None:
    theirs = net()
    torchs = torch.optim.SGD(
        torch_groups(theirs, config.weight_decay),
        lr=0.1,
        momentum=config.momentum,
        nesterov=config.nesterov,
        fused=True,
    )
    assert_bits_of(config, torchs, theirs)


def test_adamw_has_the_bits_of_torchs() -> None:
    config, theirs = AdamWConfig(betas=(0.8, 0.95), epsilon=1e-6, weight_decay=0.1), net()
    torchs = torch.optim.AdamW(torch_groups(theirs, 0.1), lr=0.1, betas=(0.8, 0.95), eps=1e-6, fused=True)
    assert_bits_of(config, torchs, theirs)


@pytest.mark.parametrize("config", ONCE_CONFIGS)
def test_operations_that_round_once_come_to_the_same_but_for_rounding(config: OptimizerConfig) -> None:
    assert_close(trained(config, once=True), trained(config))


@pytest.mark.parametrize("config", ONCE_CONFIGS)
def test_an_elements_bits_do_not_depend_on_where_it_lies_in_its_shard(config: OptimizerConfig) -> None:
    torch.manual_seed(1)
    values, slope = torch.randn(2, 61)
    shards = []
    for cuts in ([61], [1, 17, 43], [30, 0, 31], [3] * 20 + [1]):
        parts = []
        for value, part in zip(values.split(cuts), slope.split(cuts), strict=True):
            model = nn.ParameterDict({"weight": nn.Parameter(value.clone())})
            optimizer = build_optimizer(config, model)
            parameters = dict(model.named_parameters())
            state = optimizer.fresh(parameters)
            for updates in range(3):
                optimizer.update(
                    parameters,
                    {"weight": part.clone()},
                    state,
                    rate=RATES[updates],
                    previous_rate=RATES[updates - 1] if updates else None,
                    updates=updates,
                    norms=lambda tensors: torch.ones(len(tensors), dtype=torch.float64),
                    once=True,
                )
            parts.append(parameters["weight"].detach())
        shards.append(torch.cat(parts))
    assert all(torch.equal(shards[0], other) for other in shards)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_correction_makes_the_absorbed_form_the_plain_one(nesterov: bool) -> None:
    plain = trained(SGDConfig(nesterov=nesterov, weight_decay=0.01))
    assert_close(trained(SGDConfig(nesterov=nesterov, weight_decay=0.01, velocity="corrected")), plain)


def test_the_absorbed_form_has_equation_10_of_goyal_et_al() -> None:
    weight, slope, velocity = torch.tensor([2.0]), torch.tensor([1.0]), torch.zeros(1)
    model = nn.ParameterDict({"weight": nn.Parameter(weight.clone())})
    optimizer = build_optimizer(SGDConfig(momentum=0.5, nesterov=False, velocity="absorbed"), model)
    parameters = dict(model.named_parameters())
    state = optimizer.fresh(parameters)
    for updates, rate in enumerate((0.5, 0.25)):
        optimizer.update(
            parameters,
            {"weight": slope.clone()},
            state,
            rate=rate,
            previous_rate=None,
            updates=updates,
            norms=squares,
            once=False,
        )
        velocity = 0.5 * velocity + rate * slope
        weight = weight - velocity
    assert torch.equal(parameters["weight"].detach(), weight)


@pytest.mark.parametrize("corrected", [False, True])
def test_lars_is_algorithm_1_of_you_et_al(corrected: bool) -> None:
    trust, beta, momentum = 0.02, 0.1, 0.9
    config = LARSConfig(momentum, beta, trust, adapt_undecayed=True, undecayed="nothing", momentum_correction=corrected)
    ours = trained(config)
    for name, weight in net().named_parameters():
        value, velocity = weight.detach().double(), torch.zeros_like(weight, dtype=torch.float64)
        for number, rate in enumerate(RATES):
            torch.manual_seed(number)
            slope = {n: torch.randn(p.shape) for n, p in ours.named_parameters()}[name].double()
            bottom = slope.norm() + beta * value.norm()
            local = trust * value.norm() / bottom if value.norm() else torch.tensor(1.0)
            kept = momentum * (rate / RATES[number - 1] if corrected and number else 1)
            velocity = kept * velocity + rate * local * (slope + beta * value)
            value = value - velocity
        torch.testing.assert_close(ours.get_parameter(name).double(), value, rtol=1e-5, atol=1e-6)


def test_lars_leaves_the_rates_of_norms_and_biases_alone() -> None:
    lars = trained(LARSConfig(weight_decay=0.1))
    sgd = trained(SGDConfig(nesterov=False, weight_decay=0.1, velocity="absorbed"))
    for name, decaying in decays(lars).items():
        same = torch.allclose(lars.get_parameter(name), sgd.get_parameter(name))
        assert same is not decaying


def test_every_update_starts_from_the_state_alone() -> None:
    assert all(
        torch.equal(a, b)
        for config in ONCE_CONFIGS
        for a, b in zip(trained(config).parameters(), trained(config).parameters(), strict=True)
    )
