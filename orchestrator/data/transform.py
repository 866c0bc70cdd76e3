"""Turns decoded images into what a model is fed: resize, augmentations keyed by (seed, epoch, position), normalise.

An augmentation is a pure function of the images and of four random words for each; those depend on seed, epoch,
position and the augmentation's place in the list, and so not on the batch, the worker, or what was drawn before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from orchestrator.data.arrays import AnyArray, Bytes8, Float32s, Int64s, UInt32s
from orchestrator.data.keyed import below, sample_words

_ALL_WORDS = 1 << 32


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
        top, left = self.offsets(words)
        cropped: Bytes8 = np.empty_like(images)
        for number, (y, x) in enumerate(zip(top.tolist(), left.tolist(), strict=True)):
            cropped[number] = padded[number, y : y + height, x : x + width]
        return cropped

    def offsets(self, words: UInt32s) -> tuple[Int64s, Int64s]:
        """First row and first column (N,) of each crop of a padded image."""
        return below(words[0], 2 * self.pixels + 1), below(words[1], 2 * self.pixels + 1)


@dataclass(frozen=True)
class HorizontalFlip:
    """Mirrors an image left to right with the given probability."""

    probability: float = 0.5

    def apply(self, images: Bytes8, words: UInt32s) -> Bytes8:
        """(N, H, W, C) to the same shape."""
        count, height, width, channels = images.shape
        mirrored = self.mirrored(words)
        backwards = np.arange(width * channels).reshape(width, channels)[::-1].reshape(-1)
        flipped = images.copy()
        lines = images.reshape(count, height, width * channels)[mirrored]
        # A gather along whole lines takes a third of the time of a view with negative strides.
        flipped[mirrored] = lines.take(backwards, axis=2).reshape(len(lines), height, width, channels)
        return flipped

    def mirrored(self, words: UInt32s) -> npt.NDArray[np.bool_]:
        """(N,) which images are."""
        chosen: npt.NDArray[np.bool_] = words[0] < np.uint64(round(self.probability * _ALL_WORDS))
        return chosen


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

    def augment(self, images: Bytes8, positions: Int64s, *, seed: int, epoch: int) -> Bytes8:
        """The random part, of (N, H, W, C) images at `positions` (N,) of an epoch."""
        for stream, augmentation in enumerate(self.augmentations):
            images = augmentation.apply(images, sample_words(seed, epoch, positions, stream))
        return images

    def normalise(self, images: Bytes8, out: Float32s | None = None) -> Float32s:
        """(N, H, W, C) uint8 to (N, C, H, W) float32: pixel * (1 / (255 * std)) - mean / std, each rounded to float32.

        Args:
            images: contiguous.
            out: (N, H, W, C) float32, contiguous, that is written and that the answer is a view of.

        Returns:
            A view of NHWC memory (torch's channels_last), which is what convolutions are fastest in.
        """
        count, height, width, channels = images.shape
        scale, shift = (np.tile(values, height * width) for values in self.affine)
        lines = images.reshape(count, height * width * channels)
        scaled = np.empty(lines.shape, np.float32) if out is None else out.reshape(lines.shape)
        np.multiply(lines, scale, out=scaled, dtype=np.float32)
        scaled -= shift
        return channels_first(scaled.reshape(images.shape))

    @property
    def affine(self) -> tuple[Float32s, Float32s]:
        """(scale, shift), each (C,): a normalised value is pixel * scale - shift."""
        std = np.asarray(self.std, dtype=np.float64)
        return (1 / (255 * std)).astype(np.float32), (np.asarray(self.mean) / std).astype(np.float32)


def channels_first(images: AnyArray) -> AnyArray:
    """(N, H, W, C) as a view (N, C, H, W); of one channel it is contiguous."""
    count, height, width, channels = images.shape
    return images.reshape(count, 1, height, width) if channels == 1 else images.transpose(0, 3, 1, 2)


def augmentations(*, pad_crop: int = 0, flip: bool = False) -> tuple[Augmentation, ...]:
    """The augmentations of a workload by their keys; a value of 0 leaves one out."""
    chosen: list[Augmentation] = []
    if pad_crop:
        chosen.append(PadCrop(pad_crop))
    if flip:
        chosen.append(HorizontalFlip())
    return tuple(chosen)
