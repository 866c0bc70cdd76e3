"""Which convolutions see only some pixels first, and that they compute the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from toy_training import ToyTask, toy_config

from orchestrator.training.config import EngineContext, Parallel
from orchestrator.training.engine import train
from orchestrator.training.strided import SubsampledConv2d, subsample_first


class Strides(TorchDispatchMode):
    """Notes stride and input channels of each convolution of kernel 1 whose weights get a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.backward: set[tuple[int, int]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution_backward.default and args[2].shape[-1] == 1:
            self.backward.add((args[4][0], args[2].shape[1]))
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Narrow(ToyTask):
    """A model with a strided 1x1 convolution of 8 channels, and one of 16."""

    def build_model(self) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.Conv2d(8, 16, 1, stride=2, bias=False),
            nn.Conv2d(16, 8, 1, stride=2),
            nn.Flatten(),
            nn.Linear(8, 3),
        )


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_a_training_on_a_cpu_computes_no_weights_of_a_narrow_strided_convolution(parallel: Parallel) -> None:
    config = replace(toy_config(), max_steps=1, parallel=parallel)
    with Strides() as noted:
        train(Narrow(), config, EngineContext(device=torch.device("cpu")))
    assert noted.backward == {(1, 8), (2, 16)}


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_and_gradients_are_the_same(size: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, *size)
    plain, model = (nn.Conv2d(3, 5, 1, stride=(2, 3), padding="valid", bias=bias) for _ in range(2))
    model.load_state_dict(plain.state_dict())
    subsample_first(model)
    assert type(model) is SubsampledConv2d
    found = []
    for each in (plain, model):
        leaf = images.clone().requires_grad_()
        output = each(leaf)
        output.square().sum().backward()
        found.append([output, leaf.grad, *(parameter.grad for parameter in each.parameters())])
    for expected, got in zip(*found, strict=True):
        torch.testing.assert_close(got, expected)


def test_without_gradients_the_bits_are_those_of_the_model_as_it_was() -> None:
    images, plain = torch.randn(4, 8, 16, 16), nn.Conv2d(8, 8, 1, stride=2)
    model = nn.Conv2d(8, 8, 1, stride=2)
    model.load_state_dict(plain.state_dict())
    subsample_first(model)
    with torch.no_grad():
        assert torch.equal(model(images), plain(images))


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(16, 8, 1, stride=2),
        nn.Conv2d(8, 8, 1),
        nn.Conv2d(8, 8, 3, stride=2),
        nn.Conv2d(8, 8, 1, stride=2, padding=1),
        nn.Conv2d(8, 8, 1, stride=2, groups=2),
    ],
    ids=["wide", "stride 1", "3x3", "padded", "grouped"],
)
def test_other_convolutions_stay_as_they_are(other: nn.Conv2d) -> None:
    subsample_first(nn.Sequential(other))
    assert type(other) is nn.Conv2d
