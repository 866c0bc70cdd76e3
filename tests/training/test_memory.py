"""Which blocks of a model are run twice."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from orchestrator.base.errors import UsageError
from orchestrator.training.memory import checkpoint_activations, checkpointed_blocks, is_out_of_memory


def block() -> nn.Module:
    return nn.TransformerEncoderLayer(4, 1, 8, batch_first=True)


class Stages(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.trunk = nn.Sequential(nn.Sequential(block(), block()), nn.Sequential(block()))
        self.more = nn.ModuleList([block()])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.trunk(self.stem(x))
        for each in self.more:
            x = each(x)
        return x


def test_the_blocks_of_stages_are_found_and_single_layers_are_not() -> None:
    model = Stages()
    assert checkpointed_blocks(model) == [*model.trunk[0], *model.trunk[1], model.more[0]]


def test_a_model_can_name_its_blocks() -> None:
    model = Stages()
    model.checkpointed_modules = ["trunk.0"]
    assert checkpointed_blocks(model) == [model.trunk[0]]


def test_gradients_and_names_stay_the_same() -> None:
    torch.manual_seed(0)
    model, batch = Stages(), torch.randn(2, 3, 4)
    names = [name for name, _ in model.named_parameters()]
    gradients = []
    for _ in range(2):
        torch.manual_seed(1)
        model.zero_grad()
        model(batch).sum().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
        checkpoint_activations(model)
    assert names == [name for name, _ in model.named_parameters()]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_asking_twice_does_not_run_blocks_four_times() -> None:
    model, calls = Stages(), []
    original = model.trunk[0][0].forward

    def counted(*inputs: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return original(*inputs)

    model.trunk[0][0].__class__ = type("Counted", (type(model.trunk[0][0]),), {"forward": lambda s, *x: counted(*x)})
    checkpoint_activations(model)
    checkpoint_activations(model)
    model(torch.randn(2, 3, 4)).sum().backward()
    assert len(calls) == 2


def test_a_model_without_blocks_is_refused_by_name_of_the_cure() -> None:
    with pytest.raises(UsageError, match="finds no blocks"):
        checkpoint_activations(nn.Sequential(nn.Linear(2, 2)))


def test_an_allocation_that_failed_on_the_cpu_is_a_lack_of_memory() -> None:
    message = "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried to"
    assert is_out_of_memory(RuntimeError(message))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
