"""Makes batches of images from rows of a split: read, decode, augment, normalise; the same in any process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal, cast

import numpy as np

from orchestrator.base.errors import ShardCorrupt, UsageError
from orchestrator.data.arrays import AnyArray, Bytes8, Int64s
from orchestrator.data.decode import UndecodableImage, decode_onto, image_size, resize
from orchestrator.data.pixel_cache import PixelCache
from orchestrator.data.row_reader import RowReader
from orchestrator.data.transform import Transform, channels_first

Pixels = Literal["float32", "uint8"]
"""What images come as: normalised, or as they were decoded and augmented, for a consumer that normalises them."""

Images = AnyArray
"""(N, C, H, W), float32 or uint8: see `Pixels`."""

_FIRST = np.zeros(1, dtype=np.int64)

Allocate = Callable[[tuple[int, ...], Any], AnyArray]
"""(shape, dtype) to an array: np.empty, or what lies in memory that another process sees."""


class ImageReader:
    """Batches of images, each image a pure function of its row, of (seed, epoch, position) and of the transform.

    Picklable; a copy opens the same files and has no cache until it is given one.

    Args:
        dataset: whose rows.
        transform: what happens to each image.
        column: of the images.
        seed: of the run; the augmentations follow from it.
        pixels: see `Pixels`.
        cache_bytes: of decoded images that are kept, at most.
    """

    def __init__(
        self,
        dataset: RowReader,
        transform: Transform,
        *,
        column: str = "image",
        seed: int = 0,
        pixels: Pixels = "float32",
        cache_bytes: int = 0,
    ) -> None:
        self.dataset = dataset
        self.transform = transform
        self.column, self.seed, self.pixels, self.cache_bytes = column, seed, pixels, cache_bytes
        self.cache: PixelCache | None = None
        self._shape = None if transform.size is None else (*transform.size, transform.channels)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"cache": None}

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """(H, W, C) of every image; None until the first is read, where the transform does not say it."""
        return self._shape

    @property
    def bytes_per_image(self) -> int | None:
        """Of a batch as `read` gives it; None where `shape` is."""
        return None if self._shape is None else int(np.prod(self._shape)) * np.dtype(self.pixels).itemsize

    def open_cache(self, memory: int | None = None) -> PixelCache | None:
        """The cache; made at the first call where the size of images is known, on `memory` where that is given."""
        if self.cache is None and self._shape is not None and self.cache_bytes:
            self.cache = PixelCache(len(self.dataset), self._shape, self.cache_bytes, memory)
        return self.cache

    def read(self, rows: Int64s, positions: Int64s, epoch: int, allocate: Allocate = np.empty) -> tuple[Images, Int64s]:
        """The images of `rows` (N,) that stand at `positions` (N,) of an epoch.

        Returns:
            images (n, C, H, W), a view of NHWC memory that `allocate` gave; and their places (n,) in `rows`: all, but
            for rows that were skipped where the dataset was opened with `on_corrupt="skip"`.

        Raises:
            ShardCorrupt: a record's checksum differs, or its image cannot be decoded.
            UsageError: images differ in size, and the transform has none.
        """
        last_step = self.pixels == "uint8" and not self.transform.augmentations
        images, places = self._decoded(rows, allocate if last_step else np.empty)
        if last_step:
            return channels_first(images), places
        images = self.transform.augment(images, positions[places], seed=self.seed, epoch=epoch)
        out = allocate(images.shape, np.dtype(self.pixels))
        if self.pixels == "float32":
            return self.transform.normalise(images, out), places
        out[:] = images
        return channels_first(out), places

    def _decoded(self, rows: Int64s, allocate: Allocate) -> tuple[Bytes8, Int64s]:
        """Decoded images (n, H, W, C) of the rows that are whole, and their places (n,) in `rows`."""
        places = np.arange(len(rows), dtype=np.int64)
        cache = self.open_cache()
        held = np.zeros(len(rows), dtype=bool) if cache is None else cache.holds(rows)
        new = places[~held]
        found = self.dataset.read_many(rows[new])
        views = cast("Sequence[memoryview]", found.values[self.column])
        whole = ~np.isin(rows, found.skipped)
        images: Bytes8 = allocate((len(rows), *self._shape_of(views)), np.dtype(np.uint8))
        if cache is not None and len(new) < len(rows):
            cache.copy(rows[held], places[held], images)
        new = new[whole[new]]
        for place, view in zip(new.tolist(), views, strict=True):
            whole[place] = self._decode(view, images[place], int(rows[place]))
        new = new[whole[new]]
        if (cache := self.open_cache()) is not None:
            cache.put(rows[new], images if len(new) == len(images) else images[new])
        if bool(whole.all()):
            return images, places
        kept = images[: int(whole.sum())]
        kept[:] = images[whole]
        return kept, places[whole]

    def _shape_of(self, views: Sequence[memoryview]) -> tuple[int, int, int]:
        """Of every image: as the transform says, else that of the first one ever read."""
        if self._shape is None:
            if not views and len(self.dataset):  # an empty batch has images of the right size too
                views = cast("Sequence[memoryview]", self.dataset.read_many(_FIRST).values[self.column])
            for view in views:
                with suppress(UndecodableImage):  # named when it is decoded
                    self._shape = (*image_size(view), self.transform.channels)
                    break
        return self._shape or (0, 0, self.transform.channels)

    def _decode(self, view: memoryview, out: Bytes8, row: int) -> bool:
        """Decode an image to its place; False where it cannot be and that is to be skipped."""
        try:
            pixels = decode_onto(view, out)
        except UndecodableImage as error:
            undecodable(self.dataset, row, error)
            return False
        if pixels is not out:
            if self.transform.size is None and pixels.shape != out.shape:
                raise UsageError(
                    f"images of different sizes, such as {out.shape} and {pixels.shape} (row {row})",
                    hint="give the transform a size",
                )
            out[:] = resize(pixels, *out.shape[:2])
        return True


def undecodable(dataset: RowReader, row: int, error: UndecodableImage) -> None:
    """Take note of an image that was written broken, as the dataset's `on_corrupt` says.

    Raises:
        ShardCorrupt: it says `fail`.
    """
    if dataset.on_corrupt == "skip":
        dataset.corrupt_rows.add(row)
        return
    raise ShardCorrupt(
        f"{dataset.where(row)}: {error.message}",
        hint="the record is as it was written: mend the source and build the dataset again",
        lasting=True,
    ) from error
