"""Loads batches of a split by their positions in an epoch: order, read, decode, augment, normalise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from orchestrator.base.errors import ShardCorrupt, UsageError
from orchestrator.data.arrays import Bytes8, Float32s, Int64s
from orchestrator.data.decode import UndecodableImage, decode
from orchestrator.data.keyed import derive_key
from orchestrator.data.order import SEQUENTIAL, EpochOrder, Shuffle
from orchestrator.data.permutation import KeyedPermutation
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.transform import Transform, stack

TRAINING_SPLIT = "train"


@dataclass(frozen=True)
class LoaderOptions:
    """How a split is read.

    Attributes:
        seed: of the run; order, augmentation and label shuffling follow from it.
        shuffle: the order of an epoch; `none` for evaluation.
        cache_bytes: decoded images are kept in memory up to so many bytes, so that later epochs decode nothing.
        shuffle_labels: a control experiment: the labels of the training split, permuted by a key from the seed.
        image: name of the image column.
        label: name of the label column.
    """

    seed: int = 0
    shuffle: Shuffle = SEQUENTIAL
    cache_bytes: int = 256 * 2**20
    shuffle_labels: bool = False
    image: str = "image"
    label: str = "label"


class BatchLoader:
    """Batches of images and labels, each sample a pure function of (seed, epoch, position).

    Args:
        dataset: the split.
        transform: what happens to each image.
        options: see `LoaderOptions`.

    Raises:
        UsageError: labels are to be shuffled of a split that is not the training split.
    """

    def __init__(self, dataset: ShardedDataset, transform: Transform, options: LoaderOptions | None = None) -> None:
        self.dataset = dataset
        self.transform = transform
        self.options = options or LoaderOptions()
        self._labels = dataset.fixed_column(self.options.label)
        self._label_permutation: KeyedPermutation | None = None
        self._orders: dict[int, EpochOrder] = {}
        self._cache: _PixelCache | None = None
        if self.options.shuffle_labels:
            if dataset.split.name != TRAINING_SPLIT:
                raise UsageError(f"labels are shuffled of the split {TRAINING_SPLIT} only, not {dataset.split.name}")
            key = derive_key("shuffle-labels", self.options.seed, dataset.version)
            self._label_permutation = KeyedPermutation(len(dataset), key)

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def skipped(self) -> int:
        """How many rows were found corrupt and left out so far; each counts once."""
        return len(self.dataset.corrupt_rows)

    def order(self, epoch: int) -> EpochOrder:
        """The order of an epoch; the last one asked for is kept."""
        if epoch not in self._orders:
            split = self.dataset.split
            self._orders = {
                epoch: EpochOrder(
                    split.rows,
                    seed=self.options.seed,
                    epoch=epoch,
                    version=self.dataset.version,
                    shuffle=self.options.shuffle,
                    shard_rows=split.shard_rows,
                )
            }
        return self._orders[epoch]

    def load(self, positions: Int64s, epoch: int) -> tuple[Float32s, Int64s]:
        """The samples at `positions` (N,) of an epoch.

        Returns:
            images (N, C, H, W) float32 and labels (N,) int64; shorter by the rows that were skipped where the dataset
            was opened with `on_corrupt="skip"` (they are in `dataset.corrupt_rows`).

        Raises:
            ShardCorrupt: a record's checksum differs, or its image cannot be decoded.
        """
        rows = self.order(epoch).rows_at(positions)
        images, kept = self._pixels(rows)
        rows, positions = rows[kept], positions[kept]
        augmented = self.transform.augment(images, positions, seed=self.options.seed, epoch=epoch)
        return self.transform.normalise(augmented), self._labels_of(rows)

    def _labels_of(self, rows: Int64s) -> Int64s:
        if self._label_permutation is not None:
            rows = self._label_permutation.apply(rows)
        return self._labels[rows].astype(np.int64)

    def _pixels(self, rows: Int64s) -> tuple[Bytes8, Int64s]:
        """Prepared images (n, H, W, C) of the rows that are whole, and their places (n,) in `rows`."""
        places = np.arange(len(rows), dtype=np.int64)
        new = places if self._cache is None else places[~self._cache.holds(rows)]
        found = self.dataset.read_many(rows[new])
        views = found.values[self.options.image]
        decoded = [self._decode(view, row) for view, row in zip(views, found.rows.tolist(), strict=True)]
        fresh = stack(decoded) if decoded else np.empty((0, *self._shape()), dtype=np.uint8)
        if self._cache is None and decoded:
            self._cache = _PixelCache(len(self.dataset), fresh.shape[1:], self.options.cache_bytes)
        if self._cache is None or len(fresh) == len(rows):
            images = fresh
        else:
            images = self._cache.images(rows)
            images[new[~np.isin(rows[new], found.skipped)]] = fresh
        if self._cache is not None:
            self._cache.put(found.rows, fresh)
        whole = ~np.isin(rows, found.skipped)
        return images if len(images) == whole.sum() else images[whole], places[whole]

    def _shape(self) -> tuple[int, int, int]:
        if self._cache is not None:
            height, width, channels = self._cache.shape
            return height, width, channels
        return (*(self.transform.size or (0, 0)), self.transform.channels)

    def _decode(self, view: memoryview, row: int) -> Bytes8:
        try:
            return self.transform.prepare(decode(view, self.transform.channels))
        except UndecodableImage as error:
            shard, _ = self.dataset.index.locate(self.dataset.split.name, row)
            raise ShardCorrupt(
                f"row {row} of {self.dataset.split.name} (shard {self.dataset.index.root / shard}): {error.message}",
                hint="the record is as it was written: mend the source and build the dataset again",
            ) from error


class _PixelCache:
    """Decoded images of the first rows of a split, as many as fit; the others are decoded each time."""

    def __init__(self, rows: int, shape: tuple[int, ...], limit: int) -> None:
        capacity = min(rows, limit // int(np.prod(shape)))
        self.shape = shape
        self._kept = np.empty((capacity, *shape), dtype=np.uint8)
        self._filled = np.zeros(capacity, dtype=bool)

    def holds(self, rows: Int64s) -> npt.NDArray[np.bool_]:
        """Whether each of `rows` (N,) is kept."""
        held = rows < len(self._filled)
        held[held] = self._filled[rows[held]]
        return held

    def images(self, rows: Int64s) -> Bytes8:
        """(N, H, W, C), undefined where a row is not kept."""
        if bool((rows < len(self._kept)).all()):
            return self._kept[rows]
        images: Bytes8 = np.empty((len(rows), *self.shape), dtype=np.uint8)
        held = self.holds(rows)
        images[held] = self._kept[rows[held]]
        return images

    def put(self, rows: Int64s, images: Bytes8) -> None:
        """Keep those that fit."""
        fits = rows < len(self._kept)
        self._kept[rows[fits]] = images[fits]
        self._filled[rows[fits]] = True
