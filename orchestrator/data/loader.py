"""Loads batches of a split, or of a mixture, by their positions: order, read, decode, augment, normalise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from orchestrator.base.errors import UsageError
from orchestrator.data.arrays import Int64s
from orchestrator.data.epochs import EpochOrders
from orchestrator.data.images import ImageReader, Images, Pixels
from orchestrator.data.keyed import derive_key
from orchestrator.data.mixed_dataset import MixedDataset
from orchestrator.data.order import SEQUENTIAL, Order, Shuffle
from orchestrator.data.permutation import KeyedPermutation
from orchestrator.data.readahead import ReadAhead
from orchestrator.data.reader import Rows, ShardedDataset
from orchestrator.data.resample import Resample
from orchestrator.data.row_reader import by_part
from orchestrator.data.transform import Transform
from orchestrator.data.workers import Ticket, WorkerPool

TRAINING_SPLIT = "train"

Decoder = Literal["cpu", "gpu"]


@dataclass(frozen=True)
class LoaderOptions:
    """How a split is read.

    Attributes:
        seed: of the run; order, augmentation and label shuffling follow from it.
        shuffle: the order of an epoch; `none` for evaluation. Of a mixture: of each part.
        resample: how often each row comes in an epoch; None: once. Of a mixture: of each part.
        cache_bytes: decoded images are kept in memory up to so many bytes, so that later epochs decode nothing.
        shuffle_labels: a control experiment: the labels of the training split, permuted by a key from the seed.
        image: name of the image column.
        label: name of the label column; empty where there is none.
        pixels: `float32`: normalised; `uint8`: as decoded and augmented, for a consumer that normalises them.
        workers: processes that load what `expect` announced; the batches do not depend on them.
        decode: `gpu`: by `gpu_decode.DeviceLoader`, whose pixels differ: a part of a run's identity.
    """

    seed: int = 0
    shuffle: Shuffle = SEQUENTIAL
    resample: Resample | None = None
    cache_bytes: int = 256 * 2**20
    shuffle_labels: bool = False
    image: str = "image"
    label: str = "label"
    pixels: Pixels = "float32"
    workers: int = 0
    decode: Decoder = "cpu"


@dataclass(frozen=True)
class Samples:
    """Images (n, C, H, W), their rows (n,), and their places (n,) among the positions that were asked for."""

    images: Images
    rows: Int64s
    places: Int64s


class _Orders(Protocol):
    def order(self, epoch: int) -> Order: ...


class BatchLoader:
    """Batches of images and labels, each sample a pure function of (seed, epoch, position).

    Args:
        dataset: the split, or several mixed.
        transform: what happens to each image.
        options: see `LoaderOptions`.
        pool: worker processes that several loaders share; by default a pool of its own where `options.workers`.

    Raises:
        UsageError: labels are to be shuffled of a split that is not the training split; or the parts of a mixture have
            different classes.
        DataError: labels are to be shuffled, and the side table that they are in is damaged.
    """

    def __init__(
        self,
        dataset: ShardedDataset | MixedDataset,
        transform: Transform,
        options: LoaderOptions | None = None,
        pool: WorkerPool | None = None,
    ) -> None:
        self.dataset = dataset
        self.transform = transform
        self.options = options or LoaderOptions()
        self._images = ImageReader(
            dataset,
            transform,
            column=self.options.image,
            seed=self.options.seed,
            pixels=self.options.pixels,
            cache_bytes=self.options.cache_bytes,
        )
        if self.options.label and not dataset.column(self.options.label).fixed:
            raise UsageError(f"column {self.options.label!r} has values of any length: it is no label")
        self._label_permutation: KeyedPermutation | None = None
        self._orders = _orders(dataset, self.options)
        self._kept: dict[int, Order] = {}
        own = self.options.workers and self.options.decode == "cpu"
        self._pool = WorkerPool(self.options.workers) if own and pool is None else pool
        self._tickets: dict[tuple[int, bytes], Ticket] = {}
        self._ahead = ReadAhead(dataset)
        if self.options.shuffle_labels:
            if dataset.split_name != TRAINING_SPLIT:
                raise UsageError(f"labels are shuffled of the split {TRAINING_SPLIT} only, not {dataset.split_name}")
            dataset.check_table()  # a sample's label is of a row that is not read with it, and so not verified
            key = derive_key("shuffle-labels", self.options.seed, dataset.version)
            self._label_permutation = KeyedPermutation(len(dataset), key)

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def skipped_rows(self) -> tuple[int, ...]:
        """The rows that were found corrupt and left out so far, by whichever process; each once, rising."""
        return tuple(sorted(self.dataset.corrupt_rows))

    @property
    def skipped_by_part(self) -> dict[str, tuple[int, ...]]:
        """The same rows by the name of the dataset that they are from, as numbers in its split."""
        return by_part(self.dataset, self.dataset.corrupt_rows)

    @property
    def skipped(self) -> int:
        """How many they are."""
        return len(self.dataset.corrupt_rows)

    def order(self, epoch: int) -> Order:
        """The order of an epoch; the last one asked for is kept."""
        if epoch not in self._kept:
            self._kept = {epoch: self._orders.order(epoch)}
        return self._kept[epoch]

    def expect(self, requests: Sequence[tuple[int, Int64s]]) -> None:
        """Announce the next loads, in order: (epoch, positions) of each; what was announced before is forgotten.

        A hint: worker processes begin with as many as they can hold, and remote shards are fetched ahead. It never
        changes what `load` returns.
        """
        for epoch, positions in requests:
            self._ahead.tell(epoch, positions, self.order)
        pool, size = self._pool, self._images.bytes_per_image
        if pool is None or size is None:
            return
        coming = {_key(epoch, positions): (epoch, positions) for epoch, positions in requests[: pool.depth]}
        for key in self._tickets.keys() - coming.keys():
            pool.discard(self._tickets.pop(key))
        for key, (epoch, positions) in coming.items():
            if key not in self._tickets and len(positions):
                rows = self.order(epoch).rows_at(positions)
                ticket = pool.submit(self._images, rows, positions, epoch)
                if ticket is None:
                    return
                self._tickets[key] = ticket

    def load(self, positions: Int64s, epoch: int) -> tuple[Images, Int64s]:
        """The samples at `positions` (N,) of an epoch.

        Returns:
            images (N, C, H, W) and labels (N,) int64; shorter by the rows that were skipped where the dataset was
            opened with `on_corrupt="skip"` (they are in `skipped_rows`). The images are a view of NHWC memory.

        Raises:
            ShardCorrupt: a record's checksum differs, or its image cannot be decoded.
        """
        found = self.samples(positions, epoch)
        return found.images, self.labels(found.rows)

    def samples(self, positions: Int64s, epoch: int) -> Samples:
        """As `load`, without labels, and telling which rows they are."""
        if self.options.decode != "cpu":
            raise UsageError("these images are to be decoded on a GPU", hint="use gpu_decode.DeviceLoader")
        ticket = self._tickets.pop(_key(epoch, positions), None)
        if self._pool is not None and ticket is not None:
            made = self._pool.result(ticket)
            if made is not None:
                return Samples(made.images, ticket.rows[made.places], made.places)
        rows = self.order(epoch).rows_at(positions)
        images, places = self._images.read(rows, positions, epoch)
        return Samples(images, rows[places], places)

    def labels(self, rows: Int64s) -> Int64s:
        """The labels (n,) of rows; shuffled where that was asked for."""
        if self._label_permutation is not None:
            rows = self._label_permutation.apply(rows)
        return self.dataset.fixed_values(self.options.label, rows).astype(np.int64)

    def records(self, positions: Int64s, epoch: int) -> Rows:
        """The records at `positions` (N,) of an epoch, as the reader gives them: encoded, in this process."""
        return self.dataset.read_many(self.order(epoch).rows_at(positions))

    def close(self) -> None:
        """End the worker processes, those of a shared pool too; `load` works without them."""
        if self._pool is not None:
            self._pool.close()


def _orders(dataset: ShardedDataset | MixedDataset, options: LoaderOptions) -> _Orders:
    seed, shuffle, resample = options.seed, options.shuffle, options.resample
    if isinstance(dataset, MixedDataset):
        return dataset.orders(seed=seed, shuffle=shuffle, resample=resample)
    return EpochOrders(dataset, seed=seed, shuffle=shuffle, resample=resample)


def _key(epoch: int, positions: Int64s) -> tuple[int, bytes]:
    return epoch, positions.tobytes()
