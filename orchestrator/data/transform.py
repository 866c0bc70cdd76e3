"""Turns decoded images into what a model is fed: resize, augmentations keyed by (seed, epoch, position), normalise.

An augmentation is a pure function of the images and of four random words for each; those depend on seed, epoch,
position and the augmentation's place in the list, and so not on the batch, the worker, or what was drawn before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from orchestrator.data.arrays import Bytes8, Float32s, Int64s, UInt32s
from orchestrator.data.decode import resize
from orchestrator.data.keyed import below, sample_words

_HALF_RANGE = 1 << 32


class Augmentation(Protocol):
    """A random change to images."""

    def apply(self, images: Bytes8, words: UInt32s) -> Bytes8:
        """Change (N, H, W, C) images by their (4, N) random words; the shape stays."""
        ...


@dataclass(frozen=True)
class PadCrop:
    """Pads by `pixels` of black on every side, then crops back at a random place."""

    pixels: int

    def apply(self, images: Bytes8, words: UInt32s) -> Bytes8:
        """(N, H, W, C) to the same shape; row and column offsets are uniform in 0..2 * pixels."""
        _, height, width, _ = images.shape
        border = ((0, 0), (self.pixels, self.pixels), (self.pixels, self.pixels), (0, 0))
        padded = np.pad(images, border)
        top = below(words[0], 2 * self.pixels + 1)
        left = below(words[1], 2 * self.pixels + 1)
        cropped: Bytes8 = np.empty_like(images)
        for number, (y, x) in enumerate(zip(top.tolist(), left.tolist(), strict=True)):
            cropped[number] = padded[number, y : y + height, x : x + width]
        return cropped


@dataclass(frozen=True)
class HorizontalFlip:
    """Mirrors an image left to right with the given probability."""

    probability: float = 0.5

    def apply(self, images: Bytes8, words: UInt32s) -> Bytes8:
        """(N, H, W, C) to the same shape."""
        mirrored = words[0] < np.uint64(round(self.probability * _HALF_RANGE))
        flipped = images.copy()
        flipped[mirrored] = images[mirrored, :, ::-1]
        return flipped


@dataclass(frozen=True)
class Transform:
    """What happens to each image between decoding and the model.

    Attributes:
        channels: what images are decoded to.
        mean: of each channel, of pixels in 0..1.
        std: of each channel, of pixels in 0..1.
        size: (height, width) that images are resized to; None where they all have one size already.
        augmentations: in order; none for evaluation.
    """

    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: tuple[int, int] | None = None
    augmentations: tuple[Augmentation, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"{self.channels} channels need as many means and deviations")

    def prepare(self, pixels: Bytes8) -> Bytes8:
        """The part without randomness, which may be kept: (H, W, C) resized."""
        return pixels if self.size is None else resize(pixels, *self.size)

    def augment(self, images: Bytes8, positions: Int64s, *, seed: int, epoch: int) -> Bytes8:
        """The random part, of (N, H, W, C) images at `positions` (N,) of an epoch."""
        for stream, augmentation in enumerate(self.augmentations):
            images = augmentation.apply(images, sample_words(seed, epoch, positions, stream))
        return images

    def normalise(self, images: Bytes8) -> Float32s:
        """(N, H, W, C) uint8 to (N, C, H, W) float32: (pixel / 255 - mean) / std."""
        std = np.asarray(self.std, dtype=np.float64)
        scale = (1 / (255 * std)).astype(np.float32).reshape(-1, 1, 1)
        shift = (np.asarray(self.mean) / std).astype(np.float32).reshape(-1, 1, 1)
        scaled: Float32s = np.multiply(images.transpose(0, 3, 1, 2), scale, dtype=np.float32, order="C")
        scaled -= shift
        return scaled


def augmentations(*, pad_crop: int = 0, flip: bool = False) -> tuple[Augmentation, ...]:
    """The augmentations of a workload by their keys; a value of 0 leaves one out."""
    chosen: list[Augmentation] = []
    if pad_crop:
        chosen.append(PadCrop(pad_crop))
    if flip:
        chosen.append(HorizontalFlip())
    return tuple(chosen)


def stack(images: Sequence[Bytes8]) -> Bytes8:
    """(N, H, W, C) from images of one size.

    Raises:
        ValueError: their sizes differ.
    """
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise ValueError(f"images of different sizes, such as {sorted(shapes)[:2]}: give the transform a size")
    return np.stack(images)
