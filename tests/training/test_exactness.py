"""What marks a training as exact up to a number of samples only, and what more workers than slices lead to."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn
from toy_training import ToyBatch, ToyTask, toy_config

from orchestrator.base.errors import UsageError
from orchestrator.rundir.membership import Member, View
from orchestrator.runtime.membership.solo import Solo
from orchestrator.training import step
from orchestrator.training.config import EngineContext
from orchestrator.training.engine import train


class Blocks(nn.Module):
    """Two blocks that can be run twice."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(16, 16), nn.GELU()) for _ in range(2)])
        self.checkpointed_modules = ["blocks.0", "blocks.1"]
        self.head = nn.Linear(16, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = images.flatten(1)
        for block in self.blocks:
            found = block(found)
        return self.head(found)


@dataclass(frozen=True)
class Scarce(ToyTask):
    """In the second step there is too little memory once."""

    def build_model(self) -> nn.Module:
        object.__setattr__(self, "calls", [])
        return Blocks()

    def loss(self, model: nn.Module, batch: ToyBatch) -> torch.Tensor:
        calls: list[int] = self.calls  # type: ignore[attr-defined]
        calls.append(len(batch))
        if len(calls) == 5:
            raise torch.OutOfMemoryError("there is too little memory")
        return super().loss(model, batch)


@pytest.mark.parametrize(("compiled", "exact_until"), [(False, None), (True, 16)])
def test_activations_computed_twice_by_compiled_code_end_exactness(
    compiled: bool, exact_until: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "compile_model", lambda model: None)
    told: list[str] = []
    context = EngineContext(device=torch.device("cpu"), tell=lambda kind, /, **data: told.append(kind))
    result = train(Scarce(norm="ln"), replace(toy_config(epochs=1), compile=compiled), context)
    assert "out_of_memory" in told
    assert result.exact_until == exact_until


class Crowded(Solo):
    """A view of five workers."""

    def next_view(self, after: int) -> View | None:
        return View(1, tuple(Member(number, "127.0.0.1", 1, 1) for number in range(5)))


def test_more_workers_than_slices_are_refused_before_they_meet() -> None:
    context = EngineContext(membership=Crowded(), device=torch.device("cpu"))
    with pytest.raises(UsageError, match="5 workers cannot share a global batch of 4 virtual workers"):
        train(ToyTask(), toy_config(), context)
