"""A tiny task in many kinds, and a worker's few steps of it: what the tests of steps and of layouts share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from orchestrator.training.batching import StepBatch
from orchestrator.training.config import TrainConfig
from orchestrator.training.digest import parameters_digest
from orchestrator.training.group import Group
from orchestrator.training.layout.buckets import BUCKET_BYTES
from orchestrator.training.layout.protocol import Arrival
from orchestrator.training.layout.replicated import ReplicatedLayout
from orchestrator.training.slices import SlicePlan
from orchestrator.training.step import Stepper, StepPlace, StepResult
from orchestrator.training.table import Flags
from orchestrator.training.task import Losses, Request, Task


@dataclass(frozen=True)
class Rows:
    """Inputs (n, 1, 4, 4)."""

    inputs: torch.Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device) -> Self:
        return type(self)(self.inputs.to(device))


class Block(nn.Module):
    def __init__(self, norm: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False)
        self.norm = nn.BatchNorm2d(8) if norm == "bn" else nn.GroupNorm(2, 8)
        self.drop = nn.Dropout(0.25)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.drop(torch.relu(self.norm(self.conv(x))))


class Net(nn.Module):
    def __init__(self, norm: str) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.blocks = nn.Sequential(Block(norm), Block(norm))
        self.head = nn.Linear(8 * 16, 3)
        self.unused = nn.Linear(3, 2)
        self.frozen = nn.Linear(8 * 16, 3).requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(x)).flatten(1))


@dataclass
class Toy(Task[Rows]):
    """Positions below 0 are corrupt samples, which are left out."""

    norm: str = "bn"
    named: bool = False
    fails: int = 0
    calls: list[str] = field(default_factory=list)

    @property
    def identity(self) -> dict[str, str | int | float]:
        return {}

    def build_model(self) -> nn.Module:
        torch.manual_seed(5)
        return Net(self.norm)

    def samples(self, split: str) -> int:
        return 1000

    def load(self, request: Request) -> Rows:
        place = torch.from_numpy(request.positions[request.positions >= 0]).double().view(-1, 1)
        inputs = torch.sin(place * 0.37 + request.epoch + torch.arange(16).double() * (1 + place % 3))
        return Rows(inputs.float().view(-1, 1, 4, 4))

    def loss(self, model: nn.Module, batch: Rows) -> Losses:
        if self.fails > 0:
            self.fails -= 1
            raise torch.OutOfMemoryError("no memory left")
        found = model(batch.inputs)
        wanted = batch.inputs.flatten(1).sum(1).abs().long() % 3
        first = nn.functional.cross_entropy(found, wanted, reduction="sum")
        return {"first": first, "second": found.square().sum() * 0.01} if self.named else first


def config(**changes: Any) -> TrainConfig:
    settings: dict[str, Any] = {"epochs": 1, "plan": SlicePlan(8, 2), "schedule": None, "seed": 3} | changes
    return TrainConfig(**settings)


def place(step: int, sizes: tuple[int, ...], *, corrupt: tuple[int, ...] = ()) -> StepPlace:
    """A step whose slices have these many samples; those of the slices in `corrupt` cannot be read."""
    start, slices = 100 * step, []
    for index, size in enumerate(sizes):
        positions = np.arange(start, start + size, dtype=np.int64)
        slices.append(-1 - positions if index in corrupt else positions)
        start += size
    return StepPlace(step, 0, step, StepBatch(tuple(slices)))


class Worker:
    """One training on one worker, with the plainest of updates."""

    def __init__(self, task: Toy, settings: TrainConfig, group: Group, *, bucket_bytes: int = BUCKET_BYTES) -> None:
        self.task, self.settings = task, settings
        model = task.build_model().train()
        self.layout = ReplicatedLayout(model, settings, device=group.device, bucket_bytes=bucket_bytes)
        self.enter(group, tuple(range(group.size)))

    def enter(self, group: Group, holders: tuple[int, ...]) -> None:
        self.group = group
        self.layout.enter(Arrival(group, group.size, holders), group, {})
        self.stepper = Stepper(self.task, self.layout, self.settings, group, device=group.device)

    def step(self, at: StepPlace, flags: Flags | None = None) -> StepResult:
        result = self.stepper.step(at, flags=flags or Flags())
        with torch.no_grad():
            for name, parameter in self.layout.parameters().items():
                parameter.sub_(self.layout.gradients()[name], alpha=0.1)
        self.stepper.statistics.update(result.moments)
        return result

    def digest(self) -> str:
        return parameters_digest(self.layout.model)
