"""What a peer is asked for: a share of an epoch as records, or an epoch as training batches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

Epoch = Callable[[int], int]
"""Delivers the epoch of this number; returns how many samples it delivered."""


@dataclass(frozen=True)
class Share:
    """One process's part of an epoch over `samples` samples: part `part` of `parts`, which meet at a file."""

    samples: int
    part: int = 0
    parts: int = 1
    meeting: str = ""

    def order(self, epoch: int) -> list[int]:
        """This part of a uniformly random order of all samples."""
        every = np.random.default_rng(epoch).permutation(self.samples)
        return every[self.bounds[0] : self.bounds[1]].tolist()

    @property
    def bounds(self) -> tuple[int, int]:
        """The positions of the epoch that are this part's."""
        return self.part * self.samples // self.parts, (self.part + 1) * self.samples // self.parts


@dataclass(frozen=True)
class Work:
    """An epoch of (`batch`, 3, H, W) uint8 images and int64 labels, by so many loader processes."""

    samples: int
    workers: int = 0
    decoder: str = "torchvision"
    batch: int = 256


def by_index(share: Share, get: Callable[[int], bytes]) -> Epoch:
    """An epoch that asks for one record after the other."""

    def epoch(number: int) -> int:
        return touched(map(get, share.order(number)))

    return epoch


def touched(records: Iterable[bytes]) -> int:
    """Take every record in hand once; how many there were."""
    count = 0
    for record in records:
        if not count and not record:
            raise ValueError("an empty record")
        count += 1
    return count


def delivered(batches: Iterable[Any]) -> int:
    """Take every training batch; how many samples were in them. The first is checked for being what was asked for."""
    count = 0
    for images, labels in batches:
        if not count and not (images.ndim == 4 and images.shape[1] == 3 and str(images.dtype).endswith("uint8")):
            raise ValueError(f"batches of {images.dtype} {tuple(images.shape)}, not of uint8 (N, 3, H, W)")
        count += len(labels)
    return count


def join(share: Share) -> None:
    """Make this process one of `share.parts` ranks, for libraries that share an epoch by rank."""
    if share.parts == 1:
        return
    import torch.distributed

    rank = {"RANK": share.part, "LOCAL_RANK": share.part, "WORLD_SIZE": share.parts, "LOCAL_WORLD_SIZE": share.parts}
    os.environ.update({name: str(value) for name, value in rank.items()})
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{share.meeting}", rank=share.part, world_size=share.parts
    )
