"""A tiny task with dropout and a norm of choice, whose samples are functions of their positions; what trains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import nn

from orchestrator.training.config import TrainConfig
from orchestrator.training.optim import SGDConfig
from orchestrator.training.slices import SlicePlan
from orchestrator.training.task import Request, Task

Norm = Literal["bn", "gn", "ln"]

SAMPLES = {"train": 53, "validation": 300, "test": 0}


@dataclass(frozen=True)
class ToyBatch:
    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Self:
        return type(self)(self.images.to(device), self.labels.to(device))


class LayerNorm(nn.LayerNorm):
    """Over channels of images (N, C, H, W)."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    match norm:
        case "bn":
            return nn.BatchNorm2d(channels)
        case "gn":
            return nn.GroupNorm(2, channels)
        case "ln":
            return LayerNorm(channels)


@dataclass(frozen=True)
class ToyTask(Task[ToyBatch]):
    version: str = "1"
    measures: tuple[str, ...] = ("loss", "error")
    look_ahead: int = 6
    norm: Norm = "bn"

    @property
    def identity(self) -> dict[str, str | int | float]:
        return {"version": self.version, "norm": self.norm}

    def build_model(self) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, bias=False),
            norm_layer(self.norm, 8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False),
            norm_layer(self.norm, 8),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.25),
            nn.Linear(8 * 16, 3),
        )

    def samples(self, split: str) -> int:
        return SAMPLES[split]

    def load(self, request: Request) -> ToyBatch:
        place = torch.from_numpy(request.positions).double().view(-1, 1)
        phase = place * 0.37 + (request.epoch if request.split == "train" else 0.5)
        images = torch.sin(phase + torch.arange(16).double() * (1 + place % 3)).float().view(-1, 1, 4, 4)
        return ToyBatch(images, torch.from_numpy(request.positions % 3))

    def loss(self, model: nn.Module, batch: ToyBatch) -> torch.Tensor:
        return nn.functional.cross_entropy(model(batch.images), batch.labels, reduction="sum")

    def evaluate(self, model: nn.Module, batch: ToyBatch) -> torch.Tensor:
        logits = model(batch.images)
        loss = nn.functional.cross_entropy(logits, batch.labels, reduction="sum")
        return torch.stack([loss, (logits.argmax(1) != batch.labels).sum().float()])


@dataclass(frozen=True)
class Falling:
    """A rate that falls with every sample."""

    first: float = 0.2

    def at(self, samples: int, /) -> float:
        return self.first / (1 + samples / 50)


def toy_config(*, epochs: int = 2, batch_size: int = 16, slice_samples: int = 4, exact: bool = True) -> TrainConfig:
    """53 samples: the last batch of an epoch has 5, and so slices of 4, 1, 0 and 0 samples."""
    return TrainConfig(
        epochs=epochs,
        plan=SlicePlan(batch_size, slice_samples),
        schedule=Falling(),
        optimizer=SGDConfig(momentum=0.9, nesterov=True, weight_decay=1e-3),
        seed=3,
        exact=exact,
    )
