"""A tiny recipe whose batches change their shape inside an epoch: clips x frames x size, as in multigrid training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import nn

from orchestrator.training.batching import Batching, StepBatch
from orchestrator.training.config import TrainConfig
from orchestrator.training.task import Request, Task

SAMPLES = {"train": 60, "validation": 20, "test": 7}
SHAPES = ((4, 2, 6), (2, 4, 6), (2, 4, 8))
"""What steps cycle through: samples of a slice, frames, pixels. Smaller clips come in larger batches."""
FULL = SHAPES[-1]
SLICES = 8


@dataclass(frozen=True)
class ClipBatch:
    """Clips (N, 1, T, H, W) and labels (N,)."""

    clips: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Self:
        return type(self)(self.clips.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Multigrid:
    """Every step has 8 slices, of a size that cycles; the learning rate follows the batch."""

    positions: int
    virtual_workers: int = SLICES
    smallest_slice: int = FULL[0]
    note: str = ""

    def steps(self, epoch: int) -> int:
        return len(self._starts()) - 1

    def samples(self, epoch: int) -> int:
        return self.positions

    def step(self, epoch: int, step: int) -> StepBatch:
        starts, (count, frames, size) = self._starts(), SHAPES[step % len(SHAPES)]
        positions = np.arange(starts[step], starts[step + 1], dtype=np.int64)
        slices = tuple(positions[index * count : (index + 1) * count] for index in range(SLICES))
        return StepBatch(slices, (frames, size), count / FULL[0])

    def _starts(self) -> list[int]:
        """The first position of each step, and the end."""
        starts = [0]
        while starts[-1] < self.positions:
            count = SHAPES[(len(starts) - 1) % len(SHAPES)][0]
            starts.append(min(self.positions, starts[-1] + SLICES * count))
        return starts


@dataclass(frozen=True)
class Clips(Task[ClipBatch]):
    """Classification of clips."""

    measures = ("error",)

    @property
    def identity(self) -> dict[str, str | int | float]:
        return {"recipe": "clips"}

    def build_model(self) -> nn.Module:
        return nn.Sequential(
            nn.Conv3d(1, 6, 3, padding=1, bias=False),
            nn.BatchNorm3d(6),
            nn.ReLU(),
            nn.Conv3d(6, 6, 3, stride=(1, 2, 2), padding=1, bias=False),
            nn.BatchNorm3d(6),
            nn.ReLU(),
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
            nn.Linear(6, 3),
        )

    def samples(self, split: str) -> int:
        return SAMPLES[split]

    def batches(self, config: TrainConfig) -> Batching:
        return Multigrid(self.samples("train"))

    def load(self, request: Request) -> ClipBatch:
        frames, size = request.form or FULL[1:]
        place = torch.from_numpy(request.positions).double().view(-1, 1, 1, 1, 1)
        pixels = torch.linspace(0, 6, frames * size * size, dtype=torch.float64).view(1, 1, frames, size, size)
        clips = torch.sin(pixels * (1 + place % 3) + place * 0.1 + request.epoch).float()
        return ClipBatch(clips, torch.from_numpy(request.positions % 3))

    def loss(self, model: nn.Module, batch: ClipBatch) -> torch.Tensor:
        return nn.functional.cross_entropy(model(batch.clips), batch.labels, reduction="sum")

    def evaluate(self, model: nn.Module, batch: ClipBatch) -> torch.Tensor:
        return (model(batch.clips).argmax(1) != batch.labels).sum().view(1)
