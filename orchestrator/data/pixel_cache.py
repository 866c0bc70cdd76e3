"""Decoded images that are kept in memory, so that later epochs decode nothing; processes can share it."""

from __future__ import annotations

import math
import mmap
import os

import numpy as np
import numpy.typing as npt

from orchestrator.data.arrays import Bytes8, Int64s


class PixelCache:
    """Decoded images of the first rows of a split, as many as fit; the others are decoded each time.

    The images lie in anonymous memory that has a file descriptor: another process to which that is sent maps the same
    images. *Which* images are there is known to each process alone and said in messages (`tell`), never read from the
    shared memory: so a row is read by nobody before the one who wrote it has said so, in whatever order a processor
    makes its writes visible.

    Args:
        rows: of the split.
        shape: (H, W, C) of an image.
        limit: the most bytes that are kept.
        memory: the descriptor of another process's cache of equal arguments; by default a new one.
    """

    def __init__(self, rows: int, shape: tuple[int, int, int], limit: int, memory: int | None = None) -> None:
        capacity = min(rows, limit // math.prod(shape))
        size = max(1, capacity * math.prod(shape))
        self.shape = shape
        self.memory = os.memfd_create("pixels") if memory is None else memory
        if memory is None:
            os.ftruncate(self.memory, size)  # takes memory only where it is written to
        pixels = np.frombuffer(mmap.mmap(self.memory, size), np.uint8, count=capacity * math.prod(shape))
        self._kept: Bytes8 = pixels.reshape(capacity, *shape)
        self._filled = np.zeros(capacity, dtype=bool)

    def __del__(self) -> None:
        if hasattr(self, "memory"):
            os.close(self.memory)

    def holds(self, rows: Int64s) -> npt.NDArray[np.bool_]:
        """Whether each of `rows` (N,) is kept."""
        held = rows < len(self._filled)
        held[held] = self._filled[rows[held]]
        return held

    def copy(self, rows: Int64s, places: Int64s, images: Bytes8) -> None:
        """Write the kept images of `rows` (n,) to the `places` (n,) of a batch (N, H, W, C)."""
        if len(places) == len(images):
            np.take(self._kept, rows, axis=0, out=images, mode="clip")  # "raise" would go through a buffer
        else:
            images[places] = self._kept[rows]

    def put(self, rows: Int64s, images: Bytes8) -> None:
        """Keep those of `images` (n, H, W, C) that fit."""
        fits = rows < len(self._kept)
        self._kept[rows[fits]] = images if bool(fits.all()) else images[fits]
        self._filled[rows[fits]] = True

    def tell(self, rows: Int64s, held: npt.NDArray[np.bool_] | bool) -> None:
        """Take another process's word for whether `rows` (N,) are kept."""
        fits = rows < len(self._filled)
        self._filled[rows[fits]] = held if isinstance(held, bool) else held[fits]
