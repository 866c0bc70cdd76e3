"""The samples that all formats are filled with: random records, or small JPEGs with labels."""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import simplejpeg

TEST_DATA = "ORCHESTRATOR_TEST_DATA"
_ARCHIVE = "cifar10_jpeg.tar.gz"
_QUALITY = 85
_GRAIN = 8


@dataclass(frozen=True)
class Inputs:
    """`count` samples, each the same in every process: `inputs[n]` is (bytes, label).

    Attributes:
        count: how many.
        record_bytes: size of a random record; 0 where the samples are JPEGs.
        pixels: side of a generated JPEG.
        files: real JPEGs instead of generated ones.
    """

    count: int
    record_bytes: int = 0
    pixels: int = 0
    files: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[bytes, int]:
        if not 0 <= number < self.count:
            raise IndexError(number)
        label = number % 10
        if self.files:
            return Path(self.files[number]).read_bytes(), label
        rng = np.random.default_rng(number)
        return (rng.bytes(self.record_bytes) if self.record_bytes else _photograph(rng, self.pixels)), label

    @property
    def described(self) -> str:
        """In words."""
        if self.record_bytes:
            return f"{self.count} records of {self.record_bytes} random bytes"
        kind = "CIFAR-10's" if self.files else "generated"
        return f"{self.count} {kind} JPEGs of {self.pixels}x{self.pixels}"


def images(count: int, pixels: int, folder: Path) -> Inputs:
    """JPEGs: CIFAR-10's where they have its size and are at hand, unpacked into `folder`; otherwise generated ones."""
    made = Inputs(count, pixels=pixels)
    archive = Path(os.environ.get(TEST_DATA, "")) / _ARCHIVE
    if pixels != 32 or TEST_DATA not in os.environ or not archive.exists():
        return made
    with tarfile.open(archive) as packed:
        for member in packed:
            if member.isfile() and "/train/" in member.name:
                packed.extract(member, folder, filter="data")
    files = sorted(folder.rglob("*.jpg"))
    chosen = np.random.default_rng(0).permutation(len(files))[:count].tolist()
    return replace(made, count=len(chosen), files=tuple(str(files[place]) for place in chosen))


def _photograph(rng: np.random.Generator, pixels: int) -> bytes:
    """Coarse noise, enlarged smoothly, with a little fine noise on top: about as many bytes as a photograph."""
    coarse = rng.integers(0, 256, (pixels // _GRAIN + 1, pixels // _GRAIN + 1, 3)).astype(np.float32)
    places = np.arange(pixels) / _GRAIN
    low, part = places.astype(int), (places % 1).astype(np.float32)
    rows = coarse[low] * (1 - part)[:, None, None] + coarse[low + 1] * part[:, None, None]
    smooth = rows[:, low] * (1 - part)[:, None] + rows[:, low + 1] * part[:, None]
    noisy = smooth + rng.normal(0, 6, smooth.shape).astype(np.float32)
    return simplejpeg.encode_jpeg(np.clip(noisy, 0, 255).astype(np.uint8), quality=_QUALITY)
