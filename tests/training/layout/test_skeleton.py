"""Models without numbers, and what of them is sharded by itself."""

from __future__ import annotations

import pytest
import torch
from shard_toys import Attentive, Convolved, Taught
from torch import nn

from orchestrator.base.errors import UsageError
from orchestrator.training.layout.skeleton import Skeleton, units


def test_a_copy_is_filled_with_numbers_and_computes_what_the_model_does() -> None:
    torch.manual_seed(0)
    model = Attentive().eval()
    skeleton = Skeleton(model)
    copy = skeleton.build()
    parameters = {name: nn.Parameter(p.detach().clone()) for name, p in model.named_parameters()}
    skeleton.fill(copy, parameters, {})
    x = torch.randn(2, 5, 7)
    assert torch.equal(copy.eval()(x), model(x))
    assert copy.head.weight is copy.tied.weight


def test_a_skeleton_has_no_numbers() -> None:
    hollow = Skeleton(Convolved()).hollow
    assert {tensor.device.type for tensor in (*hollow.parameters(), *hollow.buffers())} == {"meta"}


def test_frozen_parameters_stay_frozen() -> None:
    skeleton = Skeleton(Taught())
    assert all(name.startswith("student.") for name in skeleton.trainable)
    assert len(skeleton.trainable) * 2 == len(skeleton.parameters)


def test_units_are_the_blocks_in_containers() -> None:
    model = Attentive()
    assert units(model, 0) == list(model.blocks)
    assert units(model, 1 << 20) == []


def test_a_parameter_with_two_names_is_in_no_unit() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    assert units(model, 0) == [model[1]]


def test_a_parameter_without_dimension_is_refused() -> None:
    model = nn.Linear(2, 2)
    model.register_parameter("temperature", nn.Parameter(torch.tensor(1.0)))
    with pytest.raises(UsageError, match="temperature has no dimension"):
        Skeleton(model)
