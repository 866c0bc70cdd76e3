"""A tiny recipe with images of different sizes and ragged targets, in batches of one aspect ratio each."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import nn

from orchestrator.training.batching import Batching, StepBatch
from orchestrator.training.config import TrainConfig
from orchestrator.training.task import Request, Split, Task

SAMPLES, SLICES, SLICE = {"train": 45, "validation": 30, "test": 0}, 8, 2


def size_of(position: int) -> tuple[int, int]:
    """Height and width; a third is upright."""
    long = 10 + position % 4
    return (long, 8) if position % 3 == 0 else (8, long)


@dataclass(frozen=True)
class BoxBatch:
    """Images (1, H, W) of any size, and of each its boxes (n, 4), n from 0."""

    images: tuple[torch.Tensor, ...]
    boxes: tuple[torch.Tensor, ...]

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device) -> Self:
        return type(self)(tuple(i.to(device) for i in self.images), tuple(b.to(device) for b in self.boxes))


@dataclass(frozen=True)
class ByAspect:
    """Steps of upright images first, then of those that lie."""

    groups: tuple[tuple[int, ...], ...]
    virtual_workers: int = SLICES
    smallest_slice: int = SLICE
    note: str = ""

    def steps(self, epoch: int) -> int:
        return len(self._batches())

    def samples(self, epoch: int) -> int:
        return sum(map(len, self.groups))

    def step(self, epoch: int, step: int) -> StepBatch:
        batch = np.array(self._batches()[step], dtype=np.int64)
        return StepBatch(tuple(batch[index * SLICE : (index + 1) * SLICE] for index in range(SLICES)))

    def _batches(self) -> list[tuple[int, ...]]:
        size = SLICES * SLICE
        return [group[start : start + size] for group in self.groups for start in range(0, len(group), size)]


class Detector(nn.Module):
    """One box and its score for each pixel of a small map."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1))
        self.head = nn.Conv2d(8, 5, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(image.unsqueeze(0)).relu()).flatten(2)[0].T


class Boxes(Task[BoxBatch]):
    """Detection; its evaluation needs all records together."""

    measures = ("image", "score", "distance")

    @property
    def identity(self) -> dict[str, str | int | float]:
        return {"recipe": "boxes"}

    def build_model(self) -> nn.Module:
        return Detector()

    def samples(self, split: str) -> int:
        return SAMPLES[split]

    def batches(self, config: TrainConfig) -> Batching:
        upright = [position for position in range(self.samples("train")) if size_of(position)[0] > 8]
        return ByAspect((tuple(upright), tuple(p for p in range(self.samples("train")) if p not in upright)))

    def load(self, request: Request) -> BoxBatch:
        images, boxes = [], []
        for position in request.positions.tolist():
            height, width = size_of(position)
            pixels = torch.arange(height * width, dtype=torch.float64).view(1, height, width)
            images.append(torch.sin(pixels * 0.2 + position + request.epoch).float())
            corners = torch.arange(4 * (position % 3)).view(-1, 4)
            boxes.append(torch.cos(corners * 0.9 + position).float())
        return BoxBatch(tuple(images), tuple(boxes))

    def loss(self, model: nn.Module, batch: BoxBatch) -> dict[str, torch.Tensor]:
        pairs = _pairs(model, batch)
        scores = sum(f[:, 4].sigmoid().mean() - f[: len(b), 4].sigmoid().sum() for f, b in pairs)
        places = sum((f[: len(b), :4] - b).abs().sum() for f, b in pairs)
        return {"scores": torch.as_tensor(scores), "places": torch.as_tensor(places)}

    def evaluate(self, model: nn.Module, batch: BoxBatch) -> torch.Tensor:
        rows = [torch.tensor([len(b), f[:, 4].max(), f.norm()]) for f, b in _pairs(model, batch)]
        return torch.stack(rows)

    def summarise(self, split: Split, records: torch.Tensor, samples: int) -> dict[str, float]:
        """How often a higher score goes with more boxes: for that all images are needed together."""
        pairs = (records[:, None, 0] > records[None, :, 0]) & (records[:, None, 1] > records[None, :, 1])
        return {"agreement": pairs.double().mean().item(), "images": float(len(records))}


def _pairs(model: nn.Module, batch: BoxBatch) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(model(image), boxes) for image, boxes in zip(batch.images, batch.boxes, strict=True)]
