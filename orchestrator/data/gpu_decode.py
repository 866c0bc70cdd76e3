"""JPEG decoding on a GPU (nvJPEG, through torchvision), and the rest of a transform there.

nvJPEG's pixels differ from libjpeg-turbo's by a few levels: `LoaderOptions.decode` is a part of a run's identity, and
never chosen by what a machine happens to have. `DeviceLoader` reads in this process; of a `ShardedIterable` without a
transform the images come encoded: decode them by `decode_batch`, and finish them by `DeviceTransform`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import singledispatch

import numpy as np
import torch
from torch.nn.functional import pad
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2.functional import resize

from orchestrator.base.errors import UsageError
from orchestrator.data.arrays import Int64s, UInt32s
from orchestrator.data.decode import UndecodableImage, decode
from orchestrator.data.images import undecodable
from orchestrator.data.keyed import sample_words
from orchestrator.data.loader import BatchLoader
from orchestrator.data.transform import Augmentation, HorizontalFlip, PadCrop, Transform

_JPEG = b"\xff\xd8\xff"
_MODES = {1: ImageReadMode.GRAY, 3: ImageReadMode.RGB}

Encoded = memoryview | torch.Tensor
"""An encoded image: a view, or a tensor (n,) of bytes as `Ragged.rows` has them."""


def decode_batch(
    encoded: Sequence[Encoded], device: torch.device, channels: int = 3
) -> list[torch.Tensor | UndecodableImage]:
    """Decode images, the JPEGs among them all at once on the device, from where they lie: nothing is copied before.

    What is no JPEG, and what the device's decoder refuses, is decoded by `decode.decode` on the CPU.

    Returns:
        For each image (channels, H, W) uint8 on the device, or why it cannot be decoded.
    """
    found: list[torch.Tensor | UndecodableImage | None] = [None] * len(encoded)
    jpegs = [place for place, one in enumerate(encoded) if bytes(one[:3]) == _JPEG]
    for place, pixels in zip(jpegs, _jpegs([encoded[place] for place in jpegs], device, channels), strict=True):
        found[place] = pixels
    return [_on_cpu(one, device, channels) if made is None else made for one, made in zip(encoded, found, strict=True)]


def as_tensor(encoded: Encoded) -> torch.Tensor:
    """A tensor (n,) uint8 on the bytes of a view, which is only read."""
    if isinstance(encoded, torch.Tensor):
        return encoded
    with warnings.catch_warnings():  # that the memory must not be written
        warnings.simplefilter("ignore")
        return torch.frombuffer(encoded, dtype=torch.uint8)


def _jpegs(encoded: list[Encoded], device: torch.device, channels: int) -> list[torch.Tensor | None]:
    """All at once or, where that is refused, one by one: an image's pixels must not depend on those beside it.

    None stands for each one that is refused alone.
    """
    if not encoded:
        return []
    with warnings.catch_warnings():  # torchvision names a successor that is not yet everywhere
        warnings.simplefilter("ignore")
        try:
            return list(decode_jpeg([as_tensor(one) for one in encoded], _MODES[channels], device))
        except torch.OutOfMemoryError:  # no word on any image
            raise
        except RuntimeError:
            if len(encoded) == 1:
                return [None]
    return [pixels for one in encoded for pixels in _jpegs([one], device, channels)]


def _on_cpu(encoded: Encoded, device: torch.device, channels: int) -> torch.Tensor | UndecodableImage:
    view = encoded.numpy().data if isinstance(encoded, torch.Tensor) else encoded
    try:
        pixels = decode(view, channels)
    except UndecodableImage as error:
        return error
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).to(device, non_blocking=True)


class DeviceTransform:
    """What `Transform` does, on a device: sizes, augmentations with the same random words, normalisation.

    Args:
        transform: see there.
        device: where.
    """

    def __init__(self, transform: Transform, device: torch.device) -> None:
        self.transform, self.device = transform, device
        scale, shift = transform.affine
        self._scale = torch.from_numpy(scale).to(device).view(-1, 1, 1)
        self._shift = torch.from_numpy(shift).to(device).view(-1, 1, 1)

    def batch(self, images: Sequence[torch.Tensor]) -> torch.Tensor:
        """(N, C, H, W) uint8 of one size from decoded images (C, H, W).

        Raises:
            UsageError: they differ in size, and the transform has none.
        """
        size = self.transform.size
        if size is not None:
            resized = [resize(one, list(size), antialias=True) if one.shape[1:] != size else one for one in images]
            return torch.stack(resized) if resized else self._empty(size)
        if len({one.shape for one in images}) > 1:
            raise UsageError("images of different sizes", hint="give the transform a size")
        return torch.stack(list(images)) if images else self._empty((0, 0))

    def augment(self, images: torch.Tensor, positions: Int64s, *, seed: int, epoch: int) -> torch.Tensor:
        """The random part, of (N, C, H, W) uint8 images at `positions` (N,) of an epoch."""
        for stream, augmentation in enumerate(self.transform.augmentations):
            images = augmented(augmentation, images, sample_words(seed, epoch, positions, stream))
        return images

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) uint8 to float32, channels last in memory."""
        scaled = images.to(torch.float32, memory_format=torch.channels_last)
        return scaled.mul_(self._scale).sub_(self._shift)

    def _empty(self, size: tuple[int, int]) -> torch.Tensor:
        return torch.empty((0, self.transform.channels, *size), dtype=torch.uint8, device=self.device)


@singledispatch
def augmented(augmentation: Augmentation, images: torch.Tensor, words: UInt32s) -> torch.Tensor:
    """(N, C, H, W) images after an augmentation: one that is not known here is computed on the CPU."""
    pixels = images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return torch.from_numpy(augmentation.apply(pixels, words)).permute(0, 3, 1, 2).to(images.device)


@augmented.register
def _(augmentation: PadCrop, images: torch.Tensor, words: UInt32s) -> torch.Tensor:
    count, _, height, width = images.shape
    top, left = (_on(images, offsets) for offsets in augmentation.offsets(words))
    rows = top.view(-1, 1) + torch.arange(height, device=images.device)
    columns = left.view(-1, 1) + torch.arange(width, device=images.device)
    padded = pad(images, (augmentation.pixels,) * 4).permute(0, 2, 3, 1)
    samples = torch.arange(count, device=images.device).view(-1, 1, 1)
    return padded[samples, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)


@augmented.register
def _(augmentation: HorizontalFlip, images: torch.Tensor, words: UInt32s) -> torch.Tensor:
    mirrored = _on(images, augmentation.mirrored(words)).view(-1, 1, 1, 1)
    return torch.where(mirrored, images.flip(3), images)


def _on(images: torch.Tensor, values: object) -> torch.Tensor:
    return torch.as_tensor(values).to(images.device)


class DeviceLoader:
    """As `BatchLoader`, with images decoded, augmented and normalised on a device.

    Args:
        loader: reads the records; its options say `decode="gpu"`, so that nobody changes decoders unawares.
        device: where batches are made.

    Raises:
        UsageError: the options say otherwise.
    """

    def __init__(self, loader: BatchLoader, device: torch.device) -> None:
        if loader.options.decode != "gpu":
            raise UsageError("this loader decodes on the CPU", hint='give it LoaderOptions(decode="gpu")')
        self.loader = loader
        self._transform = DeviceTransform(loader.transform, device)

    def load(self, positions: Int64s, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (n, C, H, W), as the option `pixels` says, and labels (n,) int64, both on the device.

        Raises:
            ShardCorrupt: as `BatchLoader.load`.
        """
        loader, made, options = self.loader, self._transform, self.loader.options
        records = loader.records(positions, epoch)
        places = np.flatnonzero(~np.isin(loader.order(epoch).rows_at(positions), records.skipped))
        images, whole = [], []
        decoded = decode_batch(list(records.values[options.image]), made.device, loader.transform.channels)
        for place, (row, image) in enumerate(zip(records.rows.tolist(), decoded, strict=True)):
            if isinstance(image, UndecodableImage):
                undecodable(loader.dataset, row, image)
            else:
                images.append(image)
                whole.append(place)
        batch = made.augment(made.batch(images), positions[places[whole]], seed=options.seed, epoch=epoch)
        labels = torch.from_numpy(loader.labels(records.rows[whole])).to(made.device, non_blocking=True)
        return made.normalise(batch) if options.pixels == "float32" else batch, labels
