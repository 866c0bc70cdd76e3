from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.base.errors import DataError, NotFound, UsageError
from orchestrator.data.build import build
from orchestrator.data.decode import decode
from orchestrator.data.reader import ShardedDataset
from orchestrator.spec.card import DatasetCard
from orchestrator.spec.load import load_card

RECORD = 3073
BATCHES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]


def pixels_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def record_of(number: int) -> bytes:
    return bytes([number % 10]) + pixels_of(number).transpose(2, 0, 1).tobytes()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The binary version, with 20 records a batch instead of 10,000."""
    root = tmp_path / "cifar-10-batches-bin"
    root.mkdir()
    for place, name in enumerate(BATCHES):
        (root / name).write_bytes(b"".join(map(record_of, range(20 * place, 20 * place + 20))))
    (root / "batches.meta.txt").write_text("\n".join(load_card("cifar10").classes) + "\n\n")
    return root


@pytest.fixture
def card() -> DatasetCard:
    base = load_card("cifar10")
    return base.model_copy(update={"splits": base.splits.model_copy(update={"validation": 10})})


def contents(root: Path, *splits: str) -> dict[bytes, int]:
    found = {}
    for split in splits:
        dataset = ShardedDataset(root, split)
        for row in range(len(dataset)):
            record = dataset.read(row)
            found[decode(record["image"], 3).tobytes()] = record["label"]
    return found


def test_the_pixels_and_labels_of_the_binary_version_are_kept_exactly(
    source: Path, tmp_path: Path, card: DatasetCard
) -> None:
    assert build(card, source, tmp_path / "out").rows == {"train": 90, "validation": 10, "test": 20}
    train = {pixels_of(number).tobytes(): number % 10 for number in range(100)}
    assert contents(tmp_path / "out", "train", "validation") == train
    assert contents(tmp_path / "out", "test") == {pixels_of(n).tobytes(): n % 10 for n in range(100, 120)}


def test_the_folder_above_the_batches_is_a_source_too(source: Path, tmp_path: Path, card: DatasetCard) -> None:
    assert build(card, source.parent, tmp_path / "out").rows == {"train": 90, "validation": 10, "test": 20}


def test_folders_of_images_are_kept_as_they_are(tmp_path: Path, card: DatasetCard) -> None:
    expected = {}
    for split, count in (("train", 2), ("test", 1)):
        for label, name in enumerate(card.classes):
            (tmp_path / "source" / split / name).mkdir(parents=True)
            for number in range(count):
                path = tmp_path / "source" / split / name / f"{number}.jpg"
                Image.fromarray(pixels_of(label + 10 * number)).save(path)
                expected[path.read_bytes()] = label
    build(card, tmp_path / "source", tmp_path / "out")
    found = {}
    for split in ("train", "validation", "test"):
        dataset = ShardedDataset(tmp_path / "out", split)
        found |= {bytes(dataset.read(row)["image"]): dataset.read(row)["label"] for row in range(len(dataset))}
    assert found == expected


def test_the_records_that_a_batch_that_is_cut_off_lacks_are_named(
    source: Path, tmp_path: Path, card: DatasetCard
) -> None:
    content = (source / "data_batch_3.bin").read_bytes()
    (source / "data_batch_3.bin").write_bytes(content[: 7 * RECORD + 100])
    report = build(card, source, tmp_path / "out")
    reasons = {entry.name: entry.reason for entry in report.skipped}
    assert reasons["data_batch_3.bin records 7 to 9999"] == "the file has 21,611 bytes; 30,730,000 expected"
    assert report.rows == {"train": 77, "validation": 10, "test": 20}


def test_a_label_that_is_no_class_is_listed(source: Path, tmp_path: Path, card: DatasetCard) -> None:
    content = bytearray((source / "test_batch.bin").read_bytes())
    content[5 * RECORD] = 10
    (source / "test_batch.bin").write_bytes(content)
    report = build(card, source, tmp_path / "out")
    reasons = {entry.name: entry.reason for entry in report.skipped}
    assert reasons["test_batch.bin record 5"] == "there is no class 10: the last one is 9"
    assert report.rows["test"] == 19


def test_a_missing_batch_is_named(source: Path, tmp_path: Path, card: DatasetCard) -> None:
    (source / "data_batch_4.bin").unlink()
    with pytest.raises(NotFound, match=r"data_batch_4\.bin"):
        build(card, source, tmp_path / "out")


def test_pickles_are_refused_and_never_opened(tmp_path: Path, card: DatasetCard) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").mkdir()  # opening it would be another error
    for source in (folder, tmp_path):
        with pytest.raises(UsageError, match=r"cifar-10-binary\.tar\.gz"):
            build(card, source, tmp_path / "out")


def test_classes_that_are_not_the_cards_are_refused(source: Path, tmp_path: Path, card: DatasetCard) -> None:
    (source / "batches.meta.txt").write_text("cat\nairplane\n")
    with pytest.raises(DataError, match="other classes than the card: cat, airplane"):
        build(card, source, tmp_path / "out")
