import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from data_kit import flip_bit
from simplejpeg import decode_jpeg, encode_jpeg

from orchestrator.base.errors import ShardCorrupt, UsageError
from orchestrator.data.decode import decode, decode_onto, encode_png, resize
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


@pytest.fixture
def jpegs(tmp_path: Path) -> Path:
    """Four JPEGs of 64x64."""
    schema = Schema.of([("image", "image"), ("label", "label")])
    with DatasetWriter(tmp_path / "jpegs", schema, Description(name="jpegs")) as writer:
        for number in range(4):
            pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
            writer.write("train", {"image": encode_jpeg(pixels), "label": number})
    return tmp_path / "jpegs"


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
    with pytest.raises(ShardCorrupt, match=r"row 0 of train \(shard train-00000\.arrow of .*/d\): not an image"):
        loader(tmp_path / "d").load(ALL[:1], 0)


def test_an_image_that_was_written_broken_is_skipped_where_that_is_asked_for(tmp_path: Path, picture) -> None:
    with DatasetWriter(tmp_path / "d", Schema.of([("image", "image"), ("label", "label")]), Description(name="d")) as w:
        for label, content in enumerate((b"no image", encode_png(picture(1)))):
            w.write("train", {"image": content, "label": label})
    batches = BatchLoader(ShardedDataset(tmp_path / "d", "train", on_corrupt="skip"), PLAIN)
    for _ in range(2):
        images, labels = batches.load(ALL[:2], 0)
        assert (images.shape, labels.tolist()) == ((1, 3, 6, 6), [1])
    assert batches.skipped_rows == (0,)


def test_the_decoder_is_given_the_map_itself(jpegs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each encoded image that reaches the decoder lies inside a file that is mapped into this process."""
    seen = []
    monkeypatch.setattr(
        "orchestrator.data.decode.simplejpeg.decode_jpeg",
        lambda view, *args, **keys: (
            seen.append(np.frombuffer(view, np.uint8).ctypes.data) or decode_jpeg(view, *args, **keys)
        ),
    )
    batches = loader(jpegs, pixels="uint8", cache_bytes=0)
    batches.load(ALL[:4], 0)
    with open("/proc/self/maps", encoding="utf-8") as lines:
        maps = [line.split()[0].split("-") for line in lines if line.rstrip().endswith("train-00000.arrow")]
    spans = [range(int(start, 16), int(stop, 16)) for start, stop in maps]
    assert len(seen) == 4
    assert all(any(address in span for span in spans) for address in seen)


def test_the_decoder_writes_to_the_batch_itself(jpegs: Path) -> None:
    batches = loader(jpegs, pixels="uint8", cache_bytes=0)
    positions = ALL[:4]
    batches.load(positions, 0)
    tracemalloc.start()
    images, _ = batches.load(positions, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert images.nbytes <= peak < 1.1 * images.nbytes


@pytest.mark.parametrize("size", [(64, 64), (48, 80), None])
def test_images_are_resized_only_where_they_have_another_size(jpegs: Path, size: tuple[int, int] | None) -> None:
    images, _ = loader(jpegs, Transform(3, (0.0,) * 3, (1.0,) * 3, size), pixels="uint8").load(ALL[:4], 0)
    dataset = ShardedDataset(jpegs, "train")
    for image, view in zip(images, dataset.read_many(ALL[:4]).values["image"], strict=True):
        expected = decode(view, 3) if size is None else resize(decode(view, 3), *size)
        assert (image.transpose(1, 2, 0) == expected).all()


def test_images_of_different_sizes_ask_for_a_size(tmp_path: Path, picture) -> None:
    with DatasetWriter(tmp_path / "d", Schema.of([("image", "image"), ("label", "label")]), Description(name="d")) as w:
        for size in (6, 7):
            w.write("train", {"image": encode_png(picture(size, size)), "label": 0})
    with pytest.raises(UsageError, match=r"different sizes.*row 1") as caught:
        loader(tmp_path / "d").load(ALL[:2], 0)
    assert "give the transform a size" in caught.value.hint


def test_uint8_images_become_the_normalised_ones(small: Path) -> None:
    raw, _ = loader(small, RANDOM, pixels="uint8").load(ALL, 1)
    images, _ = loader(small, RANDOM).load(ALL, 1)
    assert (RANDOM.normalise(np.ascontiguousarray(raw.transpose(0, 2, 3, 1))) == images).all()
