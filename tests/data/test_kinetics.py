import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import DataError, NotFound, UsageError
from orchestrator.data.converters.kinetics import scan
from orchestrator.spec.card import DatasetCard

HEADER = "label,youtube_id,time_start,time_end,split\n"
CLIPS = ("-abc_DEF-01", "0123456789a", "zzzzzzzzzz_")


def clips_card(**keys: Any) -> DatasetCard:
    return DatasetCard.model_validate(
        {
            "name": "clips",
            "title": "Clips",
            "converter": "kinetics",
            "source": "folder",
            "columns": {
                "video": {"type": "video"},
                "label": {"type": "label"},
                "youtube_id": {"type": "text"},
                "start": {"type": "int64", "field": "time_start"},
            },
            "splits": {"train": "train"},
        }
        | keys
    )


def write_list(source: Path, content: str | bytes, split: str = "train") -> None:
    path = source / "annotations" / f"{split}.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def rows(*labels: str, split: str = "train") -> str:
    return HEADER + "".join(
        f"{label},{clip},{10 * number},{10 * number + 10},{split}\n"
        for number, (label, clip) in enumerate(zip(labels, CLIPS, strict=False))
    )


def place(source: Path, *names: str) -> None:
    for name in names:
        path = source / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


@pytest.mark.parametrize(
    "names",
    [
        ("ride bike/-abc_DEF-01_000000_000010.mp4", "swim/0123456789a_000010_000020.mp4"),
        ("ride_bike/-abc_DEF-01_000000_000010.mkv", "swim/0123456789a_000010_000020.webm"),
        ("-abc_DEF-01_000000_000010.mp4", "0123456789a_000010_000020.MP4"),
        ("-abc_DEF-01_0_10.mp4", "swim/0123456789a_10_20.mp4"),
        ("-abc_DEF-01.mp4", "deep/er/0123456789a.mp4"),
    ],
    ids=["folders of labels", "spaces replaced", "flat", "seconds unpadded", "identifiers alone"],
)
def test_videos_are_found_in_every_layout(tmp_path: Path, names: tuple[str, ...]) -> None:
    write_list(tmp_path, rows("ride bike", "swim"))
    place(tmp_path, *names)
    found = scan(clips_card(), tmp_path)
    assert found.skipped == ()
    assert found.classes == ("ride bike", "swim")
    assert [sample.name for sample in found.samples] == [f"train/{name}" for name in names]
    assert [(sample.stratum, sample.folder) for sample in found.samples] == [(0, "train"), (1, "train")]
    assert found.samples[1].read() == {
        "video": names[1].encode(),
        "label": 1,
        "youtube_id": "0123456789a",
        "start": 10,
    }


def test_rows_without_video_and_videos_without_row_are_listed(tmp_path: Path) -> None:
    write_list(tmp_path, rows("swim", "ride bike", "ski"))
    place(tmp_path, "swim/-abc_DEF-01_000000_000010.mp4", "swim/extra.mp4", "swim/notes.txt", ".hidden.mp4")
    found = scan(clips_card(), tmp_path)
    assert found.classes == ("ride bike", "ski", "swim")
    assert [(entry.name, entry.reason) for entry in found.skipped] == [
        ("annotations/train.csv:3 0123456789a", "in the label list, but not on disk"),
        ("annotations/train.csv:4 zzzzzzzzzz_", "in the label list, but not on disk"),
        ("train/swim/extra.mp4", "on disk, but in no label list"),
    ]


def test_of_two_videos_of_one_name_the_one_in_the_labels_folder_is_taken(tmp_path: Path) -> None:
    write_list(tmp_path, rows("swim") + "ride bike,-abc_DEF-01,0,10,train\n")
    place(tmp_path, "ride_bike/-abc_DEF-01_000000_000010.mp4", "swim/-abc_DEF-01_000000_000010.mp4")
    found = scan(clips_card(), tmp_path)
    assert [sample.name.split("/")[1] for sample in found.samples] == ["swim", "ride_bike"]


def test_a_video_is_used_once(tmp_path: Path) -> None:
    write_list(tmp_path, rows("swim") + "ski,-abc_DEF-01,50,60,train\n")
    place(tmp_path, "-abc_DEF-01.mp4")
    found = scan(clips_card(), tmp_path)
    assert len(found.samples) == 1
    assert found.skipped[0].reason == "its video train/-abc_DEF-01.mp4 belongs to an earlier row"


def test_a_test_list_may_lack_labels(tmp_path: Path) -> None:
    write_list(tmp_path, rows("swim", "ski"))
    write_list(tmp_path, f"youtube_id,time_start,time_end,split\n{CLIPS[2]},5,15,test\n", "test")
    place(tmp_path, f"{CLIPS[0]}.mp4", f"../test/{CLIPS[2]}_000005_000015.mp4")
    found = scan(clips_card(splits={"train": "train", "test": "test"}), tmp_path)
    assert [(sample.folder, sample.read()["label"]) for sample in found.samples] == [("train", 1), ("test", -1)]


def test_marks_of_other_systems_extra_columns_and_quotes_are_read(tmp_path: Path) -> None:
    content = (
        f'\ufefflabel,youtube_id,time_start,time_end,split,is_cc\r\n"ride, fast",{CLIPS[0]},0.0,10.0,train,0\r\n\r\n'
    )
    write_list(tmp_path, content)
    place(tmp_path, f"{CLIPS[0]}_000000_000010.mp4")
    columns = {"video": {"type": "video"}, "label": {"type": "label"}, "cc": {"type": "int64", "field": "is_cc"}}
    found = scan(clips_card(columns=columns), tmp_path)
    assert found.classes == ("ride, fast",)
    assert found.samples[0].read()["cc"] == 0


def test_one_list_of_all_splits_is_divided_by_its_split_column(tmp_path: Path) -> None:
    (tmp_path / "k.csv").write_text(rows("swim") + f"ski,{CLIPS[1]},0,10,validate\n")
    place(tmp_path, f"{CLIPS[0]}.mp4", f"{CLIPS[1]}.mp4")
    splits = {"train": "train", "validation": "validate"}
    card = clips_card(splits=splits, layout={"tables": "k.csv", "images": "train"})
    assert [sample.folder for sample in scan(card, tmp_path).samples] == ["train", "validate"]


def test_rows_that_are_no_good_are_listed(tmp_path: Path) -> None:
    write_list(tmp_path, rows("swim") + f"swim,{CLIPS[1]},soon,later,train\nflying,{CLIPS[2]},0,10,train\nswim\n")
    place(tmp_path, f"{CLIPS[0]}.mp4")
    columns = clips_card().columns["label"].model_copy(update={"classes": ["swim"]})
    card = clips_card()
    found = scan(card.model_copy(update={"columns": {**card.columns, "label": columns}}), tmp_path)
    assert len(found.samples) == 1
    assert [entry.reason for entry in found.skipped] == [
        "its time_start or time_end is no number",
        "'flying' is no class of the card",
        "its time_start or time_end is no number",
    ]


def test_identifiers_that_look_like_paths_find_nothing_outside(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    write_list(source, rows("swim") + "swim,../../secret,0,10,train\n")
    place(source, f"{CLIPS[0]}.mp4")
    os.symlink(tmp_path / "secret.mp4", source / "train/secret.mp4")
    os.symlink(tmp_path, source / "train/out")
    found = scan(clips_card(), source)
    assert len(found.samples) == 1
    assert {(entry.name, entry.reason) for entry in found.skipped} == {
        ("train/secret.mp4", "a symbolic link that leads out of the source"),
        ("train/out", "a symbolic link that leads out of the source"),
        ("annotations/train.csv:3 ../../secret", "in the label list, but not on disk"),
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"train.csv is empty"),
        (b"swim,abc,0,10,train\n", r"train.csv has no column 'youtube_id'"),
        (HEADER.encode() + b"\xff\xfe,a,0,1,t\n", r"train.csv is no CSV file in UTF-8"),
    ],
    ids=["empty", "no header", "not UTF-8"],
)
def test_a_list_that_is_none_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    write_list(tmp_path, content)
    with pytest.raises(DataError, match=message):
        scan(clips_card(), tmp_path)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="built from a folder"):
        scan(clips_card(), None)
    with pytest.raises(NotFound, match=r"annotations/train.csv"):
        scan(clips_card(), tmp_path)
    write_list(tmp_path, rows("swim"))
    with pytest.raises(NotFound, match=r"no folder .*train"):
        scan(clips_card(), tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="none of the 1 videos"):
        scan(clips_card(), tmp_path)


def test_a_card_that_wants_what_the_lists_lack_is_refused(tmp_path: Path) -> None:
    write_list(tmp_path, rows("swim"))
    columns = {"video": {"type": "video"}, "label": {"type": "label"}, "views": {"type": "int64"}}
    with pytest.raises(DataError, match="no field 'views'") as caught:
        scan(clips_card(columns=columns), tmp_path)
    assert "youtube_id" in caught.value.hint
    with pytest.raises(DataError, match="one video and one label column"):
        scan(clips_card(columns={"video": {"type": "video"}}), tmp_path)


def test_a_split_without_its_list_is_a_warning_and_training_without_one_refused(tmp_path: Path) -> None:
    write_list(tmp_path, rows("swim"))
    place(tmp_path, "-abc_DEF-01.mp4")
    both = {"train": "train", "test": "test"}
    (warning,) = scan(clips_card(splits=both), tmp_path).warnings
    assert "annotations/test.csv" in warning
    assert "test has no rows" in warning
    with pytest.raises(NotFound, match=r"annotations/other.csv"):
        scan(clips_card(splits={"train": "other", "test": "train"}), tmp_path)
