"""Batches of a dataset in a bucket, made by worker processes."""

from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import pytest

from orchestrator.data.loader import BatchLoader, LoaderOptions
from orchestrator.data.mixed_dataset import MixedPart, MixtureOf
from orchestrator.data.order import Shuffle
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.torch_dataset import ShardedIterable
from orchestrator.data.torch_loader import data_loader
from orchestrator.data.transform import Transform

PLAIN = Transform(3, (0.0,) * 3, (1.0,) * 3, size=(6, 6))
SHUFFLED = {"seed": 2, "shuffle": Shuffle("window", 2)}
SPANS = np.array_split(np.arange(20, dtype=np.int64), 5)


@pytest.fixture
def images(empty, small: Path):
    """A dataset of 20 images in 3 shards, on disk and in a bucket."""
    for path in small.iterdir():
        empty.put(path.name, path.read_bytes())
    return empty


@pytest.fixture(autouse=True)
def _new_processes_know_the_credentials() -> None:
    """The server that forks processes may be older than the environment of these tests."""
    forkserver._forkserver._stop()


def test_worker_processes_load_a_bucket_as_a_folder(images, small: Path) -> None:
    local = BatchLoader(ShardedDataset(small, "train"), PLAIN, LoaderOptions(**SHUFFLED))
    remote = BatchLoader(images.open(), PLAIN, LoaderOptions(**SHUFFLED, workers=2))
    for step, span in enumerate(SPANS):
        remote.expect([(0, coming) for coming in SPANS[step : step + 3]])
        expected, labels = local.load(span, 0)
        found, found_labels = remote.load(span, 0)
        assert (found == expected).all()
        assert (found_labels == labels).all()
    assert remote._pool.lost == 0
    remote.close()


def test_each_shard_is_fetched_once_by_all_processes_together(images, small: Path) -> None:
    remote = BatchLoader(images.open(), PLAIN, LoaderOptions(**SHUFFLED, workers=2))
    for step, span in enumerate(SPANS):
        remote.expect([(0, coming) for coming in SPANS[step : step + 3]])
        remote.load(span, 0)
    remote.close()
    for shard in range(3):
        ranges = images.ranges(f"train-0000{shard}.arrow")
        assert len(ranges) == len(set(ranges)) > 0


def test_torch_loader_processes_load_a_bucket_as_a_folder(images, small: Path) -> None:
    def batches(location: Path | str, workers: int) -> list[tuple[bytes, list[int]]]:
        made = ShardedIterable(location, "train", batch_size=6, transform=PLAIN, options=LoaderOptions(**SHUFFLED))
        loader = data_loader(made, workers)
        return [(batch["image"].numpy().tobytes(), batch["label"].tolist()) for batch in loader]

    assert batches(images.url, 1) == batches(small, 0)


def test_a_bucket_is_mixed_with_a_folder_as_two_folders_are(images, small: Path) -> None:
    def batches(location: Path | str, workers: int) -> list[tuple[bytes, list[int]]]:
        mixture = MixtureOf({"there": MixedPart(location, 2.0), "here": MixedPart(small, 1.0)}, 24)
        options = LoaderOptions(**SHUFFLED, workers=workers)
        made = ShardedIterable(mixture, "train", batch_size=6, transform=PLAIN, options=options)
        found = [(batch["image"].numpy().tobytes(), batch["label"].tolist()) for batch in made]
        made.loader.close()
        return found

    assert batches(images.url, 1) == batches(small, 0)
