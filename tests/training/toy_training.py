"""A tiny task with batch norm and dropout whose samples are functions of their positions, and what trains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import nn

from orchestrator.training.config import TrainConfig
from orchestrator.training.optim import SGDConfig
from orchestrator.training.slices import SlicePlan

SAMPLES = {"train": 53, "validation": 300, "test": 0}


@dataclass(frozen=True)
class ToyBatch:
    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Self:
        return type(self)(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class ToyTask:
    version: str = "1"
    measures: tuple[str, ...] = ("loss", "error")
    look_ahead: int = 6

    @property
    def identity(self) -> dict[str, str | int | float]:
        return {"version": self.version}

    def build_model(self) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.25),
            nn.Linear(8 * 16, 3),
        )

    def samples(self, split: str) -> int:
        return SAMPLES[split]

    def load(self, split: str, positions: np.ndarray, epoch: int) -> ToyBatch:
        place = torch.from_numpy(positions).double().view(-1, 1)
        phase = place * 0.37 + (epoch if split == "train" else 0.5)
        images = torch.sin(phase + torch.arange(16).double() * (1 + place % 3)).float().view(-1, 1, 4, 4)
        return ToyBatch(images, torch.from_numpy(positions % 3))

    def expect(self, split: str, requests: object) -> None:
        """Nothing is made ahead."""

    def loss(self, model: nn.Module, batch: ToyBatch) -> torch.Tensor:
        return nn.functional.cross_entropy(model(batch.images), batch.labels, reduction="sum")

    def evaluate(self, model: nn.Module, batch: ToyBatch) -> torch.Tensor:
        logits = model(batch.images)
        loss = nn.functional.cross_entropy(logits, batch.labels, reduction="sum")
        return torch.stack([loss, (logits.argmax(1) != batch.labels).sum().float()])


@dataclass(frozen=True)
class Falling:
    """A rate that falls with every sample."""

    def at(self, samples: int, /) -> float:
        return 0.2 / (1 + samples / 50)


def toy_config(*, epochs: int = 2, batch_size: int = 16, slice_samples: int = 4, exact: bool = True) -> TrainConfig:
    """53 samples: the last batch of an epoch has 5, and so slices of 4, 1, 0 and 0 samples."""
    return TrainConfig(
        epochs=epochs,
        plan=SlicePlan(batch_size, slice_samples),
        schedule=Falling(),
        sgd=SGDConfig(momentum=0.9, nesterov=True, weight_decay=1e-3),
        seed=3,
        exact=exact,
    )
