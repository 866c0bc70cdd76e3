"""The images of a workload: finds or builds its dataset, and opens the splits that it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.base.paths import state_dir
from orchestrator.data.header import Description
from orchestrator.data.index import DatasetIndex
from orchestrator.data.loader import TRAINING_SPLIT, BatchLoader, LoaderOptions
from orchestrator.data.location import ensure_built
from orchestrator.data.order import Shuffle
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.transform import Transform, augmentations
from orchestrator.spec.dataset import find_dataset
from orchestrator.spec.regnet import Data, Window
from orchestrator.training.task import Split


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
    """

    index: DatasetIndex
    data: Data
    seed: int
    _loaders: dict[str, BatchLoader] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, data: Data, seed: int) -> ImageSplits:
        """Find or build the dataset."""
        return cls(DatasetIndex.open(dataset_location(data.dataset)), data, seed)

    @property
    def description(self) -> Description:
        """Classes, channels and statistics."""
        return self.index.header.description

    @property
    def sizes(self) -> dict[str, int]:
        """Samples of each split."""
        return {name: self.index.split(name).rows for name in self.index.splits}

    def loader(self, split: Split) -> BatchLoader:
        """What loads batches of a split: training images shuffled and augmented, all others as they lie."""
        if split not in self._loaders:
            self._loaders[split] = self._open(split, training=split == TRAINING_SPLIT)
        return self._loaders[split]

    def _open(self, split: Split, *, training: bool) -> BatchLoader:
        data, about = self.data, self.description
        size = (data.image_size, data.image_size)
        changes = augmentations(pad_crop=data.augment.pad_crop, flip=data.augment.flip) if training else ()
        transform = Transform(about.channels, about.mean, about.std, size, changes)
        options = LoaderOptions(
            seed=self.seed,
            shuffle=_shuffle(data.shuffle) if training else Shuffle("none"),
            shuffle_labels=data.shuffle_labels and training,
        )
        return BatchLoader(ShardedDataset(self.index.root, split), transform, options)


def _shuffle(shuffle: str | Window) -> Shuffle:
    return Shuffle("window", shuffle.window) if isinstance(shuffle, Window) else Shuffle("full")
