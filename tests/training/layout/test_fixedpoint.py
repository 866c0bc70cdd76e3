"""Squared norms: the same bits however a tensor is cut."""

from __future__ import annotations

import math

import pytest
import torch
from threaded import together

from orchestrator.training.group import alone
from orchestrator.training.layout.fixedpoint import squared_norms


def cut_norms(tensor: torch.Tensor, cuts: list[int]) -> torch.Tensor:
    """What workers with these parts get."""
    parts = torch.tensor_split(tensor, cuts)
    found = together(len(parts), lambda group: squared_norms(group, [parts[group.rank]]))
    assert all(torch.equal(each.nan_to_num(-1), found[0].nan_to_num(-1)) for each in found)
    return found[0]


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1e-3, 1.0, 1e30])
def test_the_bits_do_not_depend_on_the_cut(scale: float) -> None:
    torch.manual_seed(0)
    tensor = torch.randn(1001) * torch.logspace(-6, 0, 1001) * scale
    whole = squared_norms(alone(torch.device("cpu")), [tensor])
    for cuts in ([3], [500, 501], [0, 1, 1000]):
        assert torch.equal(cut_norms(tensor, cuts), whole)


def test_the_sum_is_right_to_the_last_bits_of_a_float() -> None:
    torch.manual_seed(1)
    tensors = [torch.randn(5000), torch.randn(3) * 1e-40, torch.zeros(4), torch.empty(0), torch.full((7,), 3e38)]
    found = squared_norms(alone(torch.device("cpu")), tensors)
    for value, tensor in zip(found.tolist(), tensors, strict=True):
        assert math.isclose(value, math.fsum(x * x for x in tensor.tolist()), rel_tol=1e-12)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_what_is_not_finite_shows(bad: float) -> None:
    tensor = torch.tensor([1.0, bad, 2.0])
    found = cut_norms(tensor, [2]).item()
    assert not math.isfinite(found)


def test_no_tensors_have_no_norms() -> None:
    assert squared_norms(alone(torch.device("cpu")), []).shape == (0,)
