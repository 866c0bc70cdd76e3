"""A tiny recipe without labels and with two networks: masked patches are predicted as a momentum teacher sees them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Self

import torch
from torch import nn

from orchestrator.data.keyed import derive_key
from orchestrator.training.ema import average_into
from orchestrator.training.task import Request, Task

PATCHES, WIDTH, MASKED = 8, 12, 4
SAMPLES = {"train": 53, "validation": 40, "test": 0}


@dataclass(frozen=True)
class MaskedBatch:
    """Patches (N, 8, 12), and which of them are hidden (N, 8)."""

    patches: torch.Tensor
    hidden: torch.Tensor

    def __len__(self) -> int:
        return len(self.patches)

    def to(self, device: torch.device) -> Self:
        return type(self)(self.patches.to(device), self.hidden.to(device))


class Block(nn.Module):
    """Mixes patches, then channels."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.mix = nn.Linear(PATCHES, PATCHES)
        self.feed = nn.Sequential(nn.Linear(WIDTH, 24), nn.GELU(), nn.Dropout(0.1), nn.Linear(24, WIDTH))

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        mixed = patches + self.mix(self.norm(patches).transpose(1, 2)).transpose(1, 2)
        return mixed + self.feed(mixed)


class StudentAndTeacher(nn.Module):
    """The teacher follows the student, and learns nothing by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(WIDTH))
        self.student = nn.Sequential(Block(), Block())
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.predict = nn.Linear(WIDTH, WIDTH)

    def forward(self, batch: MaskedBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """What is predicted of all patches, and what the teacher sees in them: (N, 8, 12) each."""
        seen = torch.where(batch.hidden.unsqueeze(-1), self.token, batch.patches)
        with torch.no_grad():
            target = self.teacher(batch.patches)
        return self.predict(self.student(seen)), target


@dataclass(frozen=True)
class Masked(Task[MaskedBatch]):
    """Masked reconstruction with a momentum teacher."""

    momentum: float = 0.9
    measures = ("distance",)

    @property
    def identity(self) -> dict[str, str | int | float]:
        return {"recipe": "masked", "momentum": self.momentum}

    def build_model(self) -> nn.Module:
        return StudentAndTeacher()

    def samples(self, split: str) -> int:
        return SAMPLES[split]

    def load(self, request: Request) -> MaskedBatch:
        place = torch.from_numpy(request.positions).double().view(-1, 1, 1)
        patches = torch.sin(place * 0.7 + torch.arange(PATCHES * WIDTH).view(PATCHES, WIDTH) * 0.3).float()
        epoch = request.epoch if request.split == "train" else 0
        hidden = torch.zeros(len(patches), PATCHES, dtype=torch.bool)
        for row, position in zip(hidden, request.positions.tolist(), strict=True):
            draws = list(derive_key("mask", epoch, position)[:PATCHES])
            row[sorted(range(PATCHES), key=draws.__getitem__)[:MASKED]] = True
        return MaskedBatch(patches, hidden)

    def loss(self, model: nn.Module, batch: MaskedBatch) -> dict[str, torch.Tensor]:
        predicted, target = model(batch)
        errors = (predicted - target).square().mean(-1)
        return {
            "hidden": (errors * batch.hidden).sum(),
            "visible": (errors * ~batch.hidden).sum() * 0.1,
        }

    def after_step(self, model: nn.Module, samples: int) -> None:
        assert isinstance(model, StudentAndTeacher)
        average_into(model.teacher, model.student, self.momentum)

    def evaluate(self, model: nn.Module, batch: MaskedBatch) -> torch.Tensor:
        predicted, target = model(batch)
        return (predicted - target).square().mean((1, 2)).sum().view(1)
