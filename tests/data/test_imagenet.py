import io
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from orchestrator.base.errors import DataError, NotFound
from orchestrator.base.paths import bundled
from orchestrator.data.build import build
from orchestrator.data.decode import decode
from orchestrator.data.index import DatasetIndex
from orchestrator.data.reader import ShardedDataset
from orchestrator.spec.card import DatasetCard
from orchestrator.spec.load import load_card

Picture = Callable[..., np.ndarray]

# The kit numbers its synsets in another order than their ids sort: 1 is the last of these.
KIT = {1: "n02119789", 2: "n01440764", 3: "n01443537"}
WORDS = {"n02119789": "kit fox, Vulpes macrotis", "n01440764": "tench, Tinca tinca", "n01443537": "goldfish"}
CLASSES = ("n01440764", "n01443537", "n02119789")
TRUTH = (1, 2, 3, 1)


@pytest.fixture
def card() -> DatasetCard:
    document = load_card("imagenet1k").model_dump()
    document["columns"]["label"]["classes"] = []
    return DatasetCard.model_validate(document)


@pytest.fixture
def source(tmp_path: Path, picture: Picture) -> Path:
    """Two training images a synset, four flat validation images, and the development kit."""
    root = tmp_path / "source"
    for label, wnid in enumerate(CLASSES):
        (root / "train" / wnid).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(picture(10 * label + number, 16)).save(root / f"train/{wnid}/{wnid}_{number}.JPEG")
    (root / "val").mkdir()
    for number in range(1, 5):
        Image.fromarray(picture(100 + number, 16)).save(root / f"val/ILSVRC2012_val_{number:08d}.JPEG")
    kit = root / "ILSVRC2012_devkit_t12" / "data"
    kit.mkdir(parents=True)
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{number}\n" for number in TRUTH))
    rows = [(number, wnid, WORDS[wnid], 0) for number, wnid in KIT.items()] + [(4, "n01317541", "domestic animal", 2)]
    fields = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object), ("num_children", object)]
    savemat(kit / "meta.mat", {"synsets": np.array(rows, dtype=fields).reshape(-1, 1)})
    return root


def labels_by_image(root: Path, split: str) -> dict[bytes, int]:
    dataset = ShardedDataset(root, split)
    return {bytes(record["image"]): record["label"] for record in map(dataset.read, range(len(dataset)))}


def validation_labels(source: Path, out: Path) -> list[int]:
    found = labels_by_image(out, "validation")
    return [found[(source / f"val/ILSVRC2012_val_{number:08d}.JPEG").read_bytes()] for number in range(1, 5)]


def test_a_class_number_is_the_rank_of_the_wordnet_id_and_not_the_number_of_the_kit(
    source: Path, tmp_path: Path, card: DatasetCard
) -> None:
    report = build(card, source, tmp_path / "out")
    assert report.rows == {"train": 6, "validation": 4}
    assert validation_labels(source, tmp_path / "out") == [2, 0, 1, 2]
    train = labels_by_image(tmp_path / "out", "train")
    assert train[(source / "train/n02119789/n02119789_0.JPEG").read_bytes()] == 2
    assert train[(source / "train/n01440764/n01440764_0.JPEG").read_bytes()] == 0


def test_classes_are_wordnet_ids_and_words_follow_them(source: Path, tmp_path: Path, card: DatasetCard) -> None:
    build(card, source, tmp_path / "out")
    about = DatasetIndex.open(tmp_path / "out").header.description
    assert about.classes == CLASSES
    assert about.attributes == {"words": ["tench, Tinca tinca", "goldfish", "kit fox, Vulpes macrotis"]}


def test_the_text_that_later_kits_have_says_the_same(source: Path, tmp_path: Path, card: DatasetCard) -> None:
    build(card, source, tmp_path / "mat")
    kit = source / "ILSVRC2012_devkit_t12/data"
    (kit / "meta.mat").unlink()
    lines = [f"{wnid} {number} {WORDS[wnid].replace(' ', '_')}\n" for number, wnid in KIT.items()]
    (kit / "map_clsloc.txt").write_text("".join(lines))
    assert build(card, source, tmp_path / "text").version == DatasetIndex.open(tmp_path / "mat").version


def test_validation_images_that_are_sorted_into_folders_need_no_kit(
    source: Path, tmp_path: Path, card: DatasetCard
) -> None:
    shutil.rmtree(source / "ILSVRC2012_devkit_t12")
    for number, label in enumerate((2, 0, 1, 2), start=1):
        (source / "val" / CLASSES[label]).mkdir(exist_ok=True)
        image = source / f"val/ILSVRC2012_val_{number:08d}.JPEG"
        image.rename(source / "val" / CLASSES[label] / image.name)
    assert build(card, source, tmp_path / "out").rows == {"train": 6, "validation": 4}
    counts = np.bincount(ShardedDataset(tmp_path / "out", "validation").fixed_column("label"))
    assert counts.tolist() == [1, 1, 2]


def test_flat_validation_images_without_the_kit_are_refused_with_what_to_unpack(
    source: Path, tmp_path: Path, card: DatasetCard
) -> None:
    shutil.rmtree(source / "ILSVRC2012_devkit_t12")
    with pytest.raises(NotFound, match=r"ILSVRC2012_devkit_t12\.tar\.gz"):
        build(card, source, tmp_path / "out")


def test_a_damaged_kit_is_refused_by_name(source: Path, tmp_path: Path, card: DatasetCard) -> None:
    (source / "ILSVRC2012_devkit_t12/data/meta.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(DataError, match=r"meta\.mat cannot be read"):
        build(card, source, tmp_path / "out")


def test_an_absent_image_does_not_shift_the_labels_of_the_others(
    source: Path, tmp_path: Path, card: DatasetCard
) -> None:
    (source / "val/ILSVRC2012_val_00000002.JPEG").unlink()
    (source / "val/notes.JPEG").write_bytes(b"")
    report = build(card, source, tmp_path / "out")
    assert {entry.name: entry.reason for entry in report.skipped} == {
        "val/ILSVRC2012_val_00000002.JPEG": "the development kit names it: no such file",
        "val/notes.JPEG": "the development kit does not say what it shows",
    }
    fourth = (source / "val/ILSVRC2012_val_00000004.JPEG").read_bytes()
    assert labels_by_image(tmp_path / "out", "validation")[fourth] == 2


def test_a_card_with_some_of_the_classes_builds_those(source: Path, tmp_path: Path, card: DatasetCard) -> None:
    document = card.model_dump()
    document["columns"]["label"]["classes"] = ["n01443537", "n02119789"]
    report = build(DatasetCard.model_validate(document), source, tmp_path / "out")
    assert report.rows == {"train": 4, "validation": 3}
    assert report.skipped_by_reason == {
        "a folder that is none of the classes": 1,
        "it shows n01440764, which is none of the classes": 1,
    }


def test_a_png_and_a_cmyk_image_named_jpeg_are_kept_as_they_came(
    source: Path, tmp_path: Path, card: DatasetCard, picture: Picture
) -> None:
    pixels = picture(7, 16)
    png, cmyk = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    Image.fromarray(pixels).convert("CMYK").save(cmyk, "JPEG", quality=95)
    (source / "train/n01440764/n01440764_0.JPEG").write_bytes(png.getvalue())
    (source / "train/n01440764/n01440764_1.JPEG").write_bytes(cmyk.getvalue())
    assert build(card, source, tmp_path / "out").skipped == ()
    kept = labels_by_image(tmp_path / "out", "train")
    assert np.array_equal(decode(png.getvalue(), 3), pixels)
    assert decode(cmyk.getvalue(), 3).shape == (16, 16, 3)
    assert {png.getvalue(), cmyk.getvalue()} < kept.keys()


def test_damaged_exif_makes_no_noise(source: Path, tmp_path: Path, card: DatasetCard) -> None:
    path = source / "train/n01440764/n01440764_0.JPEG"
    content = path.read_bytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\0broken"
    path.write_bytes(content[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + content[2:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert build(card, source, tmp_path / "out").skipped == ()


def test_the_card_lists_the_thousand_classes_in_the_order_of_their_numbers() -> None:
    classes = load_card("imagenet1k").classes
    assert len(set(classes)) == 1000
    assert classes == sorted(classes)
    assert (classes[0], classes[999]) == ("n01440764", "n15075141")
    assert "orchestrator data build imagenet1k --source FOLDER" in (bundled("datasets") / "imagenet1k.yaml").read_text()
