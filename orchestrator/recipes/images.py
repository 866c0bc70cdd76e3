"""The images of a workload: finds or builds its dataset, and opens the splits that it asks for.

Torch is imported when the first images are loaded: who asks for sizes and classes alone does without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from orchestrator.base.errors import UsageError
from orchestrator.base.paths import state_dir
from orchestrator.data.arrays import Int64s
from orchestrator.data.declared import resample_of, shuffle_of
from orchestrator.data.header import Description
from orchestrator.data.index import DatasetIndex
from orchestrator.data.loader import TRAINING_SPLIT, BatchLoader, LoaderOptions
from orchestrator.data.location import ensure_built
from orchestrator.data.order import SEQUENTIAL
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.transform import Transform, augmentations
from orchestrator.data.workers import WorkerPool
from orchestrator.recipes.skipped import SkipLog, SkippedRows
from orchestrator.rundir.dataset import refuse_other_data
from orchestrator.spec.dataset import find_dataset
from orchestrator.spec.regnet import Data

if TYPE_CHECKING:
    import torch

    from orchestrator.training.task import Request, Split

    Load = Callable[[Int64s, int], tuple[torch.Tensor, torch.Tensor]]
    """Positions (N,) of an epoch to images (N, C, H, W) and labels (N,)."""


def dataset_location(dataset: str) -> Path | str:
    """Folder or URL of the shards that a workload's `data.dataset` names; a card's are built where that is possible.

    Raises:
        NotFound: there is no such dataset, or its card needs a source and it is not built.
    """
    found = find_dataset(dataset, workdir=Path.cwd(), state_dir=state_dir())
    return found.location if found.card is None else ensure_built(found.card, state_dir())


@dataclass(frozen=True)
class ImageSplits:
    """The splits of an image classification dataset; each is opened when it is first read.

    Attributes:
        index: of the dataset.
        data: the workload's section.
        seed: of the run.
        location: the dataset's folder or URL.
        cores: of this worker.
        device: of this worker, where images are decoded if the workload says so; None: its CPU.
    """

    index: DatasetIndex
    data: Data
    seed: int
    location: Path | str
    cores: int = 1
    device: torch.device | None = None
    _skips: SkipLog = field(default_factory=SkipLog, repr=False, compare=False)
    _loaders: dict[str, BatchLoader] = field(default_factory=dict, repr=False, compare=False)
    _loads: dict[str, Load] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(
        cls,
        data: Data,
        seed: int,
        *,
        cores: int = 1,
        device: torch.device | None = None,
        skipped: Callable[[SkippedRows], None] = lambda rows: None,
    ) -> ImageSplits:
        """Find or build the dataset.

        Args:
            data: the workload's section.
            seed: of the run.
            cores: of this worker.
            device: of this worker; None: its CPU.
            skipped: told of records that were found corrupt and left out.

        Raises:
            UsageError: images are to be decoded on a GPU, and this worker has none.
        """
        if data.decode == "gpu" and not _is_gpu(device):
            raise UsageError("data.decode is gpu, and this worker has no GPU", hint="set resources.gpus_per_worker: 1")
        location = dataset_location(data.dataset)
        return cls(DatasetIndex.open(location), data, seed, location, cores, device, SkipLog(skipped))

    @property
    def version(self) -> str:
        """The dataset's version."""
        return self.index.version

    @property
    def description(self) -> Description:
        """Classes, channels and statistics."""
        return self.index.header.description

    @property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and std of each channel: the workload's, else the dataset's.

        Raises:
            UsageError: there is none for every channel.
        """
        data, about = self.data, self.description
        mean, std = tuple(data.mean or about.mean), tuple(data.std or about.std)
        if not len(mean) == len(std) == about.channels:
            raise UsageError(
                f"mean and std of {len(mean)} channels are known, and the images of {about.name} have {about.channels}",
                hint=f"measure them (orchestrator data stats {self.location}), and set data.mean and data.std",
            )
        return mean, std

    @property
    def sizes(self) -> dict[str, int]:
        """Samples of each split."""
        return {name: self.index.split(name).rows for name in self.index.splits}

    def positions(self, split: Split) -> int:
        """How many positions an epoch of the split has; 0 where there is no such split."""
        rows = self.sizes.get(split, 0)
        if not rows or split != TRAINING_SPLIT or self.data.resample is None:
            return rows
        return self.loader(split).order(0).positions

    def load(self, split: Split, positions: Int64s, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (N, C, H, W) and labels (N,) at `positions` of an epoch; what is left out is told now and then."""
        loader = self.loader(split)
        if split not in self._loads:
            self._loads[split] = _load_of(loader, self.device)
        images, labels = self._loads[split](positions, epoch)
        if len(labels) < len(positions):
            self._skips.note(self.index, split, loader.dataset.corrupt_rows)
        return images, labels

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Tell what waits, and end the loaders' processes; what is loaded afterwards is loaded without them."""
        self.tell_skipped()
        for loader in self._loaders.values():
            loader.close()

    def tell_skipped(self) -> None:
        """Tell of all that was left out and not told yet."""
        self._skips.flush()

    def loader(self, split: Split) -> BatchLoader:
        """What loads batches of a split: training images shuffled and augmented, all others as they lie."""
        if split not in self._loaders:
            self._loaders[split] = self._open(split, training=split == TRAINING_SPLIT)
        return self._loaders[split]

    def expect(self, requests: Sequence[Request]) -> None:
        """What is loaded next, in order; what was announced of the same split before is forgotten."""
        for split in dict.fromkeys(request.split for request in requests):
            self.loader(split).expect([(r.epoch, r.positions) for r in requests if r.split == split])

    @property
    def look_ahead(self) -> int:
        """How many loads it is worth to be told of: as many as the loader processes have under way, at most."""
        return 1 if self._pool is None else self._pool.depth

    @cached_property
    def _pool(self) -> WorkerPool | None:
        """The loader processes, which training and evaluation share."""
        count = self.data.loader_processes(self.cores) if self.data.decode == "cpu" else 0
        return WorkerPool(count) if count else None

    def _open(self, split: Split, *, training: bool) -> BatchLoader:
        data, about = self.data, self.description
        size = (data.image_size, data.image_size)
        changes = augmentations(pad_crop=data.augment.pad_crop, flip=data.augment.flip) if training else ()
        mean, std = self.normalisation
        transform = Transform(about.channels, mean, std, size, changes)
        options = LoaderOptions(
            seed=self.seed,
            shuffle=shuffle_of(data) if training else SEQUENTIAL,
            resample=resample_of(data) if training else None,
            shuffle_labels=data.shuffle_labels and training,
            decode=data.decode,
        )
        dataset = ShardedDataset(self.location, split, on_corrupt=data.on_corrupt)
        refuse_other_data(self.version, dataset.version)  # a split can be opened hours after the first one
        return BatchLoader(dataset, transform, options, self._pool)


def _is_gpu(device: torch.device | None) -> bool:
    return device is not None and device.type == "cuda"


def _load_of(loader: BatchLoader, device: torch.device | None) -> Load:
    """Where the loader's options say so, decoded on the device."""
    if loader.options.decode == "gpu" and device is not None:
        from orchestrator.data.gpu_decode import DeviceLoader  # torchvision, which no other image needs

        return DeviceLoader(loader, device).load

    from orchestrator.data.torch_columns import host_tensor

    pinned = _is_gpu(device)

    def load(positions: Int64s, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = loader.load(positions, epoch)
        return host_tensor(images, pinned=pinned), host_tensor(labels, pinned=pinned)

    return load
