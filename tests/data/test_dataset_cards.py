import multiprocessing
import os
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from sklearn.datasets import load_digits

from orchestrator.base.errors import NotFound, UsageError
from orchestrator.base.paths import bundled
from orchestrator.data.build import build
from orchestrator.data.decode import decode
from orchestrator.data.index import DatasetIndex
from orchestrator.data.location import ensure_built
from orchestrator.data.reader import ShardedDataset
from orchestrator.spec.card import DatasetCard
from orchestrator.spec.placement import card_digest, dataset_root


def card(name: str) -> DatasetCard:
    return DatasetCard.model_validate(YAML(typ="safe").load(bundled("datasets") / f"{name}.yaml"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_built(card("digits"), tmp_path_factory.mktemp("state"))


def test_every_digit_is_in_exactly_one_split_with_its_own_pixels(digits: Path) -> None:
    loaded = load_digits()
    expected = Counter(
        (np.rint(pixels * (255 / 16)).astype(np.uint8).tobytes(), int(label))
        for pixels, label in zip(loaded.images, loaded.target, strict=True)
    )
    found: Counter[tuple[bytes, int]] = Counter()
    for split in ("train", "validation", "test"):
        dataset = ShardedDataset(digits, split)
        for row in range(len(dataset)):
            record = dataset.read(row)
            found[decode(record["image"], 1).tobytes(), record["label"]] += 1
    assert found == expected


def test_digits_are_split_60_20_20_in_every_class(digits: Path) -> None:
    labels = {split: ShardedDataset(digits, split).fixed_column("label") for split in ("train", "validation", "test")}
    assert {split: len(values) for split, values in labels.items()} == card("digits").rows
    for split, share in (("train", 0.6), ("validation", 0.2), ("test", 0.2)):
        counts = np.bincount(labels[split], minlength=10)
        assert np.abs(counts - share * np.bincount(load_digits().target)).max() <= 1


def test_the_version_of_digits_is_the_same_everywhere(digits: Path, tmp_path: Path) -> None:
    again = build(card("digits"), None, tmp_path / "again")
    assert again.version == DatasetIndex.open(digits).version


def test_the_statistics_of_the_digits_card_are_those_of_its_training_split(digits: Path) -> None:
    dataset = ShardedDataset(digits, "train")
    pixels = np.stack([decode(dataset.read(row)["image"], 1) for row in range(len(dataset))]) / 255
    about = card("digits").statistics
    assert abs(pixels.mean() - about.mean[0]) < 5e-4
    assert abs(pixels.std() - about.std[0]) < 5e-4


def test_a_built_dataset_is_found_and_not_built_again(digits: Path) -> None:
    before = (digits / "index.json").stat().st_mtime_ns
    assert ensure_built(card("digits"), digits.parent.parent) == digits
    assert (digits / "index.json").stat().st_mtime_ns == before


def test_processes_that_ask_at_once_build_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=ensure_built, args=(card("digits"), tmp_path)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(ShardedDataset(dataset_root(card("digits"), tmp_path), "test")) == 359


def test_a_dataset_that_needs_a_source_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="orchestrator data build cifar10 --source FOLDER"):
        ensure_built(card("cifar10"), tmp_path)


def test_a_source_for_a_bundled_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes no source folder"):
        build(card("digits"), tmp_path, tmp_path / "out")


def test_another_title_is_the_same_dataset_and_another_split_seed_is_not() -> None:
    base = card("digits")
    retitled = base.model_copy(update={"title": "Zahlen"})
    reseeded = base.model_copy(update={"splits": base.splits.model_copy(update={"seed": 1})})
    assert card_digest(retitled) == card_digest(base)
    assert card_digest(reseeded) != card_digest(base)


def test_cifar10_is_built_from_its_folder_of_images(tmp_path: Path) -> None:
    folder = os.environ.get("ORCHESTRATOR_TEST_DATA")
    if folder is None:
        pytest.skip("ORCHESTRATOR_TEST_DATA is unset: no CIFAR-10 images here")
    with tarfile.open(Path(folder) / "cifar10_jpeg.tar.gz") as archive:
        some = (member for member in archive if member.isdir() or member.name[-8:-5] == "012")
        archive.extractall(tmp_path, some, filter="data")
    base = card("cifar10")
    smaller = base.model_copy(update={"splits": base.splits.model_copy(update={"validation": 20})})
    report = build(smaller, tmp_path / "cifar10", tmp_path / "out")
    assert report.skipped == ()
    assert report.rows == {"train": 80, "validation": 20, "test": 100}
    record = ShardedDataset(tmp_path / "out", "validation").read(0)
    assert decode(record["image"], 3).shape == (32, 32, 3)
