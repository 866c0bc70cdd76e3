from pathlib import Path

import numpy as np
import pytest

from orchestrator.base.errors import ShardCorrupt, UsageError
from orchestrator.data.decode import decode_onto
from orchestrator.data.header import Description
from orchestrator.data.loader import BatchLoader, LoaderOptions
from orchestrator.data.order import FULL, Shuffle
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.schema import Schema
from orchestrator.data.transform import Transform, augmentations
from orchestrator.data.writer import DatasetWriter

PLAIN = Transform(3, (0.0,) * 3, (1 / 255,) * 3)
RANDOM = Transform(3, (0.0,) * 3, (1 / 255,) * 3, augmentations=augmentations(pad_crop=1, flip=True))
ALL = np.arange(20, dtype=np.int64)


def loader(root: Path, transform: Transform = PLAIN, split: str = "train", **options: object) -> BatchLoader:
    return BatchLoader(ShardedDataset(root, split), transform, LoaderOptions(**options))


def flip_bit(root: Path, row: int) -> None:
    dataset = ShardedDataset(root, "train")
    shard, _ = dataset.index.locate("train", row)
    content = bytearray((root / shard).read_bytes())
    content[int(dataset.index.table.records[row]["image.offset"]) + 9] ^= 1
    (root / shard).write_bytes(content)


def test_images_and_labels_come_in_the_order_of_the_epoch(small: Path, picture) -> None:
    batches = loader(small, shuffle=FULL, seed=5)
    images, labels = batches.load(ALL, 3)
    rows = batches.order(3).rows_at(ALL)
    assert images.shape == (20, 3, 6, 6)
    assert labels.tolist() == [row % 5 for row in rows.tolist()]
    for image, row in zip(images, rows.tolist(), strict=True):
        assert np.allclose(image.transpose(1, 2, 0), picture(row), atol=1e-3)


@pytest.mark.parametrize("cache_bytes", [0, 7 * 108, 2**20])
def test_a_sample_does_not_depend_on_its_batch_or_on_the_cache(small: Path, cache_bytes: int) -> None:
    whole = loader(small, RANDOM, shuffle=Shuffle("window", 2), seed=1)
    pieces = loader(small, RANDOM, shuffle=Shuffle("window", 2), seed=1, cache_bytes=cache_bytes)
    for epoch in range(3):
        images, labels = whole.load(ALL, epoch)
        for part in np.array_split(ALL[::-1], 7):
            some, some_labels = pieces.load(part, epoch)
            assert (some == images[part]).all()
            assert (some_labels == labels[part]).all()


def test_a_cached_image_is_not_decoded_again(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    monkeypatch.setattr(
        "orchestrator.data.images.decode_onto", lambda view, out: decoded.append(1) or decode_onto(view, out)
    )
    batches = loader(small, shuffle=FULL)
    for epoch in range(3):
        batches.load(ALL, epoch)
    assert len(decoded) == 20


def test_an_empty_slice_is_an_empty_batch(small: Path) -> None:
    images, labels = loader(small, Transform(3, (0.0,) * 3, (1.0,) * 3, size=(4, 4))).load(ALL[:0], 0)
    assert images.shape == (0, 3, 4, 4)
    assert labels.shape == (0,)


def test_shuffled_labels_keep_their_counts_and_lose_their_images(make_dataset) -> None:
    root = make_dataset(train=200)
    everything = np.arange(200, dtype=np.int64)
    _, honest = loader(root).load(everything, 0)
    _, shuffled = loader(root, shuffle_labels=True).load(everything, 0)
    _, again = loader(root, shuffle_labels=True).load(everything, 1)
    assert np.bincount(shuffled).tolist() == np.bincount(honest).tolist()
    assert (shuffled == again).all()
    assert 20 <= (shuffled == honest).sum() <= 65


def test_labels_of_a_split_that_is_evaluated_are_never_shuffled(small: Path) -> None:
    with pytest.raises(UsageError, match="train only"):
        loader(small, split="test", shuffle_labels=True)


def test_a_corrupt_record_ends_the_load(small: Path) -> None:
    flip_bit(small, 4)
    with pytest.raises(ShardCorrupt, match="rows 4"):
        loader(small).load(ALL, 0)


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_skip_leaves_the_corrupt_sample_out_and_counts_it(small: Path, cache_bytes: int) -> None:
    flip_bit(small, 4)
    dataset = ShardedDataset(small, "train", on_corrupt="skip")
    batches = BatchLoader(dataset, PLAIN, LoaderOptions(cache_bytes=cache_bytes))
    batches.load(ALL[:2], 0)
    for _ in range(2):
        images, labels = batches.load(ALL, 0)
        assert len(images) == 19
        assert labels.tolist() == [row % 5 for row in range(20) if row != 4]
    assert batches.load(ALL[4:5], 0)[0].shape == (0, 3, 6, 6)
    assert batches.skipped == 1


def test_an_image_that_was_written_broken_is_named(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "d", Schema.of([("image", "image"), ("label", "label")]), Description(name="d")) as w:
        w.write("train", {"image": b"no image", "label": 0})
    with pytest.raises(ShardCorrupt, match=r"row 0 of train \(shard .*train-00000\.arrow\): not an image"):
        loader(tmp_path / "d").load(ALL[:1], 0)
