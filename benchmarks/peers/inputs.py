"""The samples that all formats are filled with: random records, or small JPEGs with labels."""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import simplejpeg

TEST_DATA = "ORCHESTRATOR_TEST_DATA"
_ARCHIVE = "cifar10_jpeg.tar.gz"
_QUALITY = 85
_GRAIN = 8
_NOISE_BYTES = 2**26
_STRIDE = 1_299_709  # a prime: records begin everywhere in the noise


@dataclass(frozen=True)
class Inputs:
    """`count` samples, each the same in every process: `inputs[n]` is (bytes, label).

    Attributes:
        count: how many.
        record_bytes: size of a random record; 0 where the samples are JPEGs.
        pixels: side of a generated JPEG.
        files: the JPEGs, where they lie in files.
        origin: of the JPEGs.
    """

    count: int
    record_bytes: int = 0
    pixels: int = 0
    files: tuple[str, ...] = ()
    origin: str = "generated"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[bytes, int]:
        if not 0 <= number < self.count:
            raise IndexError(number)
        label = number % 10
        if self.files:
            return Path(self.files[number]).read_bytes(), label
        if self.record_bytes:
            start = number * _STRIDE % (_NOISE_BYTES - self.record_bytes)
            return _noise()[start : start + self.record_bytes], label
        return _photograph(np.random.default_rng(number), self.pixels), label

    @property
    def described(self) -> str:
        """In words."""
        if self.record_bytes:
            return f"{self.count} records of {self.record_bytes} random bytes"
        return f"{self.count} {self.origin} JPEGs of {self.pixels}x{self.pixels}"


def lay_out(folder: Path, inputs: Inputs) -> None:
    """A file for each sample, in a folder for each label."""
    for label in range(10):
        (folder / f"{label:02d}").mkdir()
    for number in range(len(inputs)):
        record, label = inputs[number]
        (folder / f"{label:02d}" / f"{number:06d}.jpg").write_bytes(record)


def in_folder(folder: Path, pixels: int) -> Inputs:
    """The JPEGs that ImageFolder's layout has below `folder`, in the order of their numbers."""
    files = sorted(folder.rglob("*.jpg"), key=lambda path: path.name)
    return Inputs(len(files), pixels=pixels, files=tuple(map(str, files)))


def images(count: int, pixels: int, folder: Path) -> Inputs:
    """JPEGs: CIFAR-10's where they have its size and are at hand, unpacked into `folder`; otherwise generated ones."""
    made = Inputs(count, pixels=pixels)
    archive = Path(os.environ.get(TEST_DATA, "")) / _ARCHIVE
    if pixels != 32 or TEST_DATA not in os.environ or not archive.exists():
        return made
    with tarfile.open(archive) as packed:
        members = sorted((m for m in packed if m.isfile() and "/train/" in m.name), key=lambda member: member.name)
        chosen = np.random.default_rng(0).permutation(len(members))[:count].tolist()
        for member in sorted((members[place] for place in chosen), key=lambda member: member.offset):
            packed.extract(member, folder, filter="data")  # forwards only: the archive is compressed
    files = [folder / member.name for member in members]
    return replace(made, count=len(chosen), files=tuple(str(files[place]) for place in chosen), origin="CIFAR-10's")


@lru_cache(maxsize=1)
def _noise() -> bytes:
    return np.random.default_rng(0).bytes(_NOISE_BYTES)


def _photograph(rng: np.random.Generator, pixels: int) -> bytes:
    """Coarse noise, enlarged smoothly, with a little fine noise on top: about as many bytes as a photograph."""
    coarse = rng.integers(0, 256, (pixels // _GRAIN + 1, pixels // _GRAIN + 1, 3)).astype(np.float32)
    places = np.arange(pixels) / _GRAIN
    low, part = places.astype(int), (places % 1).astype(np.float32)
    rows = coarse[low] * (1 - part)[:, None, None] + coarse[low + 1] * part[:, None, None]
    smooth = rows[:, low] * (1 - part)[:, None] + rows[:, low + 1] * part[:, None]
    noisy = smooth + rng.normal(0, 6, smooth.shape).astype(np.float32)
    return simplejpeg.encode_jpeg(np.clip(noisy, 0, 255).astype(np.uint8), quality=_QUALITY)
