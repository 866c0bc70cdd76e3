"""Averages of parameters, and gradients no longer than a limit."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import nn

from orchestrator.training import clip, ema


def squares(tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack([tensor.double().square().sum() for tensor in tensors.values()])


@pytest.mark.parametrize("once", [False, True])
def test_an_average_keeps_its_share(once: bool) -> None:
    tensors = {"weight": torch.tensor([1.0, 2.0]), "count": torch.tensor(3)}
    average = ema.fresh(tensors)
    ema.update(average, {"weight": torch.tensor([5.0, 0.0]), "count": torch.tensor(4)}, 0.75, once=once)
    assert torch.equal(average["ema/weight"], torch.tensor([2.0, 1.5]))
    assert average["ema/count"] == 4


def test_an_average_is_no_view_of_what_it_began_with() -> None:
    weight = torch.ones(2)
    average = ema.fresh({"weight": weight})
    weight.zero_()
    assert torch.equal(average["ema/weight"], torch.ones(2))


def test_the_average_of_an_element_does_not_depend_on_where_it_lies() -> None:
    torch.manual_seed(0)
    values, news = torch.randn(2, 37)
    results = []
    for cuts in ([37], [1, 16, 20], [5, 0, 32]):
        parts = ema.fresh({str(i): part for i, part in enumerate(values.split(cuts))})
        ema.update(parts, {str(i): part for i, part in enumerate(news.split(cuts))}, 0.999, once=True)
        results.append(torch.cat(list(parts.values())))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.parametrize("longest", [0.5, 100.0])
def test_clipping_is_that_of_torch(longest: float) -> None:
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.zeros(size)) for size in (3, 5)]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    gradients = {str(i): p.grad.clone() for i, p in enumerate(parameters) if p.grad is not None}
    length = torch.nn.utils.clip_grad_norm_(parameters, longest)
    assert float(clip.scale(gradients, squares, longest)) == pytest.approx(float(length))
    for parameter, gradient in zip(parameters, gradients.values(), strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(gradient, parameter.grad)


def test_a_momentum_encoder_follows_and_its_buffers_stay() -> None:
    teacher, student = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    nn.init.constant_(student.weight, 5.0)
    student.running_mean.fill_(7.0)
    ema.average_into(teacher, student, 0.75)
    assert torch.equal(teacher.weight.detach(), torch.full((2,), 2.0))
    assert not teacher.running_mean.any()


def test_a_momentum_encoder_has_the_parameters_of_what_it_follows() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ema.average_into(nn.Linear(2, 2), nn.Linear(2, 2, bias=False), 0.9)
