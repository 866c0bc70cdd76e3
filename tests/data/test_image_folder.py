import io
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.base.errors import Conflict, DataError, NotFound, UsageError
from orchestrator.base.files import read_json
from orchestrator.data.build import build
from orchestrator.data.reader import ShardedDataset
from orchestrator.spec.card import DatasetCard

Picture = Callable[..., np.ndarray]


@pytest.fixture
def source(tmp_path: Path, picture: Picture) -> Path:
    """`train` and `test` of two classes, 20 and 5 JPEGs each."""
    root = tmp_path / "source"
    number = 0
    for split, count in (("train", 20), ("test", 5)):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for place in range(count):
                Image.fromarray(picture(number, 16)).save(root / split / name / f"{place:04d}.jpg")
                number += 1
    return root


def contents(root: Path, split: str) -> list[tuple[bytes, int]]:
    dataset = ShardedDataset(root, split)
    return [(bytes(record["image"]), record["label"]) for record in map(dataset.read, range(len(dataset)))]


def test_encoded_bytes_are_kept_and_labels_follow_the_card(
    source: Path, tmp_path: Path, folder_card: DatasetCard
) -> None:
    report = build(folder_card, source, tmp_path / "out")
    assert report.rows == {"train": 36, "validation": 4, "test": 10}
    assert report.skipped == ()
    expected = {
        (path.read_bytes(), label)
        for label, name in enumerate(("cat", "dog"))
        for path in source.glob(f"train/{name}/*.jpg")
    }
    assert set(contents(tmp_path / "out", "train") + contents(tmp_path / "out", "validation")) == expected


def test_validation_is_cut_from_train_by_class(source: Path, tmp_path: Path, folder_card: DatasetCard) -> None:
    build(folder_card, source, tmp_path / "out")
    assert sorted(label for _, label in contents(tmp_path / "out", "validation")) == [0, 0, 1, 1]


def test_rows_of_a_class_do_not_lie_together(source: Path, tmp_path: Path, folder_card: DatasetCard) -> None:
    build(folder_card, source, tmp_path / "out")
    labels = [label for _, label in contents(tmp_path / "out", "train")]
    assert 8 < sum(one != other for one, other in itertools.pairwise(labels)) < 28


def test_the_same_source_gives_the_same_version(source: Path, tmp_path: Path, folder_card: DatasetCard) -> None:
    shutil.copytree(source, tmp_path / "copy")
    versions = {
        build(folder_card, place, tmp_path / f"out-{place.name}").version for place in (source, tmp_path / "copy")
    }
    assert len(versions) == 1


def test_bad_inputs_are_listed_with_their_reason_and_the_rest_is_built(
    source: Path, tmp_path: Path, folder_card: DatasetCard
) -> None:
    whole = (source / "train/cat/0000.jpg").read_bytes()
    (source / "train/cat/0000.jpg").write_bytes(whole[: len(whole) // 2])
    (source / "train/cat/0001.jpg").write_bytes(b"")
    (source / "train/dog/notes.txt").write_text("nice dogs")
    (source / "train/dog/.DS_Store").write_text("")
    (source / "train/dog/deeper").mkdir()
    (source / "train/bird").mkdir()
    report = build(folder_card, source, tmp_path / "out")
    reasons = {entry.name: entry.reason for entry in report.skipped}
    assert sum(report.rows.values()) == 48
    assert reasons.pop("train/cat/0000.jpg").startswith("not a whole image")
    assert reasons.pop("train/cat/0001.jpg") == "not an image of a known format"
    assert reasons == {
        "train/dog/notes.txt": "its name does not end in .jpg, .jpeg, .png",
        "train/dog/deeper": "not a file",
        "train/bird": "a folder that is none of the classes",
    }
    assert len((read_json(tmp_path / "out" / "skipped.json") or {})["skipped"]) == 5
    assert sum(report.skipped_by_reason.values()) == 5


def test_links_that_lead_out_of_the_source_are_refused(source: Path, tmp_path: Path, folder_card: DatasetCard) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes((source / "train/cat/0000.jpg").read_bytes())
    (source / "train/cat/9999.jpg").symlink_to(secret)
    (source / "train/cat/9998.jpg").symlink_to(source / "train/cat/0000.jpg")
    shutil.move(str(source / "test/dog"), str(tmp_path / "dogs"))
    (source / "test/dog").symlink_to(tmp_path / "dogs")
    report = build(folder_card, source, tmp_path / "out")
    outside = "a symbolic link that leads out of the source"
    assert {entry.name: entry.reason for entry in report.skipped} == {
        "train/cat/9999.jpg": outside,
        "test/dog": outside,
    }
    assert report.rows == {"train": 37, "validation": 4, "test": 5}


def test_a_card_with_fractions_cuts_the_splits_itself(source: Path, tmp_path: Path, folder_card: DatasetCard) -> None:
    card = DatasetCard.model_validate(
        folder_card.model_dump() | {"splits": {"seed": 1, "train": 0.5, "validation": 0.25, "test": 0.25}}
    )
    assert build(card, source / "train", tmp_path / "out").rows == {"train": 20, "validation": 10, "test": 10}


def test_progress_ends_with_all_samples(source: Path, tmp_path: Path, folder_card: DatasetCard) -> None:
    calls: list[tuple[int, int]] = []
    build(folder_card, source, tmp_path / "out", lambda done, total: calls.append((done, total)))
    assert calls[-1] == (50, 50)
    assert calls == sorted(calls)


@pytest.mark.parametrize("missing", ["", "test", "train/dog"])
def test_a_source_that_is_laid_out_otherwise_is_refused(
    source: Path, tmp_path: Path, folder_card: DatasetCard, missing: str
) -> None:
    shutil.rmtree(source / missing)
    with pytest.raises(NotFound, match=r"\*\.jpg|--source FOLDER"):
        build(folder_card, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_source_of_bad_images_only_is_an_error_and_leaves_no_dataset(
    source: Path, tmp_path: Path, folder_card: DatasetCard
) -> None:
    for path in source.rglob("*.jpg"):
        path.write_bytes(b"junk")
    with pytest.raises(DataError, match="no sample of pets is good"):
        build(folder_card, source, tmp_path / "out")
    assert not (tmp_path / "out" / "index.json").exists()


def test_without_a_source_the_error_says_how_to_name_one(tmp_path: Path, folder_card: DatasetCard) -> None:
    with pytest.raises(UsageError, match="--source FOLDER"):
        build(folder_card, None, tmp_path / "out")


def test_a_dataset_is_not_built_over_another_one(source: Path, tmp_path: Path, folder_card: DatasetCard) -> None:
    build(folder_card, source, tmp_path / "out")
    with pytest.raises(Conflict):
        build(folder_card, source, tmp_path / "out")


def test_more_held_out_than_there_are_is_refused(source: Path, tmp_path: Path, folder_card: DatasetCard) -> None:
    card = folder_card.model_copy(update={"splits": folder_card.splits.model_copy(update={"validation": 41})})
    with pytest.raises(DataError, match="holds out 41 samples of train, which has 40"):
        build(card, source, tmp_path / "out")


def test_a_jpeg_with_a_wrong_suffix_is_taken_for_what_it_is(
    source: Path, tmp_path: Path, folder_card: DatasetCard
) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "PNG")
    (source / "train/cat/0000.jpg").write_bytes(buffer.getvalue())
    assert build(folder_card, source, tmp_path / "out").skipped == ()


def test_a_split_whose_folder_leads_out_of_the_source_is_refused(
    source: Path, tmp_path: Path, folder_card: DatasetCard
) -> None:
    shutil.move(str(source / "test"), str(tmp_path / "elsewhere"))
    (source / "test").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="leads out of the source"):
        build(folder_card, source, tmp_path / "out")


def test_splits_that_the_card_gives_by_name_are_built_under_its_names(
    source: Path, tmp_path: Path, folder_card: DatasetCard
) -> None:
    card = DatasetCard.model_validate(folder_card.model_dump() | {"splits": {"train": "train", "validation": "test"}})
    assert build(card, source, tmp_path / "out").rows == {"train": 40, "validation": 10}


def test_links_that_go_round_are_listed(source: Path, tmp_path: Path, folder_card: DatasetCard) -> None:
    for place in ("train/cat/round.jpg", "train/round", "test/dog/round.jpg"):
        (source / place).symlink_to(source / place)
    report = build(folder_card, source, tmp_path / "out")
    assert report.rows == {"train": 36, "validation": 4, "test": 10}
    assert {entry.name for entry in report.skipped} == {"train/cat/round.jpg", "train/round", "test/dog/round.jpg"}


def test_a_class_that_only_training_has_is_a_warning(source: Path, tmp_path: Path, folder_card: DatasetCard) -> None:
    shutil.rmtree(source / "test/dog")
    report = build(folder_card, source, tmp_path / "out")
    assert report.rows["test"] == 5
    assert report.warnings == ("test has no folder for class 'dog', and so no rows of it",)


def test_a_split_without_any_folder_of_a_class_is_refused(
    source: Path, tmp_path: Path, folder_card: DatasetCard
) -> None:
    for name in ("dog", "cat"):
        shutil.rmtree(source / "test" / name)
    with pytest.raises(NotFound, match="no folder for class 'cat' and 1 more"):
        build(folder_card, source, tmp_path / "out")
