"""A worker's program: imports torch, builds a small model, and makes one step; `first_step.py FOLDER [NUMBER]`.

It leaves two moments in the folder, as seconds since the epoch: `begun-NUMBER` and `stepped-NUMBER`.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


def leave(folder: str, mark: str) -> None:
    """Say that something is reached; somebody looks for it all the time."""
    unready = Path(folder, f".{mark}")
    unready.write_text(str(time.time()))
    unready.replace(Path(folder, mark))


def first_step(folder: str, number: int) -> None:
    """All of it."""
    leave(folder, f"begun-{number}")
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(1)
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    loss = nn.functional.cross_entropy(model(torch.randn(64, 3, 32, 32)), torch.randint(10, (64,)))
    loss.backward()
    with torch.no_grad():  # by hand: an optimizer of torch's imports its compiler with its first step
        for parameter in model.parameters():
            parameter -= 0.1 * parameter.grad
    leave(folder, f"stepped-{number}")


if __name__ == "__main__":
    first_step(sys.argv[1], int(sys.argv[2] if len(sys.argv) > 2 else os.environ["RANK"]))
