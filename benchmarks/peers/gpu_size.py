"""What gpu_training.py measures, and what it asks each of its contenders for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Size:
    """How much is measured, of what.

    Attributes:
        models: torchvision's names.
        pixels: side of an image.
        batch: images of a step.
        steps: of a turn.
        rounds: turns of each contender that count; one before them compiles and warms up.
        images: of the dataset; a multiple of the batch.
        loaders: processes that decode, and torch's threads of each contender.
        compiled: whether models are compiled.
        device: where; goals are judged on `cuda` only.
    """

    models: tuple[str, ...] = ("resnet50", "vit_b_16")
    pixels: int = 224
    batch: int = 128
    steps: int = 100
    rounds: int = 9
    images: int = 4096
    loaders: int = 8
    compiled: bool = True
    device: str = "cuda"


@dataclass(frozen=True)
class Job:
    """What a contender trains, and how.

    Attributes:
        size: of it all.
        model: torchvision's name.
        shards: the dataset's folder.
        way: of the engine, where its images are from: `synthetic`, or shards that are decoded by `cpu` or `gpu`; of the
            plain loop, its kernels: `deterministic`, as the engine's are, or `any`.
    """

    size: Size
    model: str
    shards: Path
    way: str
