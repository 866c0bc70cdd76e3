"""Figures of columns against their definitions, and of datasets whose figures are known."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from orchestrator.base.errors import NotFound, ShardCorrupt, UsageError
from orchestrator.data.decode import decode, encode_png
from orchestrator.data.describe import describe, names_of
from orchestrator.data.header import Description
from orchestrator.data.index import DatasetIndex
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.schema import Column, Schema
from orchestrator.data.sheet import contact_sheet
from orchestrator.data.statistics import PixelMoments, class_balance, spread, tag_counts
from orchestrator.data.stats import sampled_rows, stats
from orchestrator.data.writer import DatasetWriter

PIXELS = arrays.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(3)))


@given(st.lists(PIXELS, min_size=1, max_size=4))
def test_pixel_moments_are_those_of_all_pixels_together(images: list[np.ndarray]) -> None:
    moments = PixelMoments(3)
    for image in images:
        moments.add(image)
    every = np.concatenate([image.reshape(-1, 3) for image in images]) / 255
    np.testing.assert_allclose(moments.mean, every.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(moments.std, every.std(axis=0), atol=1e-7)


def test_of_no_pixels_there_are_no_moments() -> None:
    assert (PixelMoments(1).mean, PixelMoments(1).std, spread(np.empty(0))) == ((), (), None)


def test_the_balance_of_classes_names_both_ends_what_is_absent_and_what_has_no_label() -> None:
    labels = np.array([0, 0, 0, 2, 2, 3, -1, 7])
    found = class_balance(labels, ("a", "b", "c", "d", "e"), shown=2)
    assert [(entry.name, entry.count) for entry in found.most] == [("a", 3), ("c", 2)]
    assert [(entry.name, entry.count) for entry in found.least] == [("7", 1), ("d", 1)]
    assert (found.classes, found.ratio, found.absent, found.absent_count, found.unlabelled) == (
        4,
        3.0,
        ("b", "e"),
        2,
        1,
    )


def test_the_balance_of_no_labels_is_empty() -> None:
    found = class_balance(np.empty(0, np.int64), ("a",), shown=3)
    assert (found.classes, found.ratio, found.most, found.absent) == (0, 0.0, (), ("a",))


def test_tags_are_counted_by_name() -> None:
    found = tag_counts([[0, 1], [1], []], ("cat", "dog"), shown=5)
    assert [(entry.name, entry.count) for entry in found.most] == [("dog", 2), ("cat", 1)]
    assert (found.distinct, found.per_row, found.empty_rows) == (2, 1.0, 1)


def test_sampled_rows_are_some_of_all_always_the_same_and_no_row_twice() -> None:
    rows = sampled_rows(1000, 100, "train")
    assert len(set(rows.tolist())) == 100
    assert (rows == sampled_rows(1000, 100, "train")).all()
    assert sampled_rows(5, 100, "train").tolist() == [0, 1, 2, 3, 4]


def test_the_figures_of_a_split_are_those_of_its_rows(small: Path) -> None:
    dataset = ShardedDataset(small, "train")
    records = [dataset.read(row) for row in range(20)]
    pixels = np.concatenate([decode(record["image"], 3).reshape(-1, 3) for record in records]) / 255
    told: list[tuple[int, int]] = []
    found = stats(small, "train", progress=lambda done, total: told.append((done, total)))
    assert (found.rows, found.shards, found.sampled, told[-1]) == (20, 3, 20, (20, 20))
    assert found.record_bytes.mean == np.mean([len(record["image"]) + 8 for record in records])
    assert found.labels["label"].ratio == 1.0
    assert (found.images["image"].height.most, found.images["image"].aspect.mean) == (6, 1)
    np.testing.assert_allclose(found.images["image"].mean, pixels.mean(axis=0))
    np.testing.assert_allclose(found.images["image"].std, pixels.std(axis=0))


def test_an_empty_split_has_figures_too(make_dataset) -> None:
    found = stats(make_dataset(train=0), "train")
    assert (found.rows, found.record_bytes, found.images["image"].mean) == (0, None, ())


def test_a_split_that_is_not_there_is_named(small: Path) -> None:
    with pytest.raises(NotFound, match="no split 'nope'"):
        stats(small, "nope")


def test_a_damaged_row_is_not_measured_in_silence(small: Path) -> None:
    record = ShardedDataset(small, "train").index.table.records[3]
    shard = small / "train-00000.arrow"
    content = bytearray(shard.read_bytes())
    content[int(record["image.offset"])] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ShardCorrupt):
        stats(small, "train")


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("image", memoryview(encode_png(np.zeros((4, 7), np.uint8))), "7x4 "),
        ("image", memoryview(b"no image"), "8 B"),
        ("bytes", memoryview(bytes(2048)), "2.0 KiB"),
        ("masks", [memoryview(b"ab"), memoryview(b"c")], "2 masks, 3 B"),
        ("masks", [], "no masks"),
        ("boxes", np.empty((0, 4)), "no boxes"),
        ("boxes", np.array([[1.0, 2.0, 30.0, 4.5]]), "30x4.5 at 1,2"),
        ("text", "one\n\x1b[31mtwo", "one two"),
        ("text_list", ["a", "b"], "[a, b]"),
        ("int64_list", np.array([1, 0, 7, 1, 1]), "[dog, cat, 7, dog, … (5)]"),
        ("label", 1, "1 dog"),
        ("label", -1, "-1"),
        ("float64", 0.123456789, "0.123457"),
        ("float32_list", np.array([0.5], np.float32), "[0.5]"),
    ],
)
def test_a_value_of_every_kind_is_told_in_words(kind: str, value: object, words: str) -> None:
    names = ("cat", "dog") if kind in ("label", "int64_list") else ()
    said = describe(Column("x", kind), value, names)
    assert said.startswith(words)
    assert "\n" not in said


def detections(root: Path) -> Path:
    """A red picture with a box on its left half, and bytes that are no picture."""
    schema = Schema.of([("image", "image"), ("boxes", "boxes"), ("labels", "int64_list"), ("tags", "text_list")])
    red = encode_png(np.full((40, 80, 3), (255, 0, 0), np.uint8))
    with DatasetWriter(root, schema, Description(name="d", classes=("cat",))) as writer:
        for picture in (red, b"no picture"):
            record = {"image": picture, "boxes": [[10, 10, 20, 20]], "labels": [0], "tags": ["x"]}
            writer.write("train", record)
    return root


def test_a_contact_sheet_has_every_row_and_its_boxes(tmp_path: Path) -> None:
    dataset = ShardedDataset(detections(tmp_path / "d"), "train")
    sheet = np.asarray(Image.open(io.BytesIO(contact_sheet(dataset, range(2)))))
    assert sheet.shape[0] > 168
    assert sheet.shape[1] > 2 * 168
    colours = {tuple(pixel) for pixel in sheet.reshape(-1, 3).tolist()}
    assert (255, 0, 0) in colours
    assert (230, 159, 0) in colours
    assert contact_sheet(dataset, range(2)) == contact_sheet(dataset, range(2))


def test_names_of_numbers_are_the_classes_or_an_attribute(tmp_path: Path) -> None:
    index = DatasetIndex.open(detections(tmp_path / "d"))
    assert names_of(index, index.schema.column("labels")) == ("cat",)
    assert names_of(index, index.schema.column("tags")) == ()
    schema = Schema.of([("label", "label"), ("tags", "int64_list")])
    about = Description(name="d", classes=("a",), attributes={"tags_names": ["t"]})
    with DatasetWriter(tmp_path / "e", schema, about) as writer:
        writer.write("train", {"label": 0, "tags": [0]})
    other = DatasetIndex.open(tmp_path / "e")
    assert [list(names_of(other, column)) for column in schema.columns] == [["a"], ["t"]]


def test_a_dataset_without_pictures_has_no_contact_sheet(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "d", Schema.of([("text", "text")]), Description(name="d")) as writer:
        writer.write("train", {"text": "a"})
    with pytest.raises(UsageError, match="no column of images or videos"):
        contact_sheet(ShardedDataset(tmp_path / "d", "train"), [0])
