"""The model and the batches of the race: the same for every engine."""

from __future__ import annotations

import torch
from torch import nn

BATCH = 64
SLICES = 4
CHECKPOINT_EVERY = 25
"""Steps between two checkpoints of the engines that restart from one."""
RATE, MOMENTUM = 0.01, 0.9


def build_model() -> nn.Module:
    """About a million parameters; some 50 ms a step on one core."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.Conv2d(64, 128, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128 * 16, 400),
        nn.ReLU(),
        nn.Linear(400, 10),
    )


def samples(positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, 3, 32, 32) and labels (n,) as functions of their positions (n,)."""
    phase = (positions % 10_000).float().view(-1, 1, 1, 1) * 0.37
    grid = torch.arange(3 * 32 * 32).float().view(1, 3, 32, 32)
    return torch.sin(phase + grid * 0.01), positions % 10
