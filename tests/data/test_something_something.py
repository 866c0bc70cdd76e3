import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import DataError, NotFound
from orchestrator.data.converters.something_something import scan
from orchestrator.spec.card import DatasetCard

LABELS = {"Pushing something so that it falls": "1", "Holding something": "0"}


def action_card() -> DatasetCard:
    return DatasetCard.model_validate(
        {
            "name": "actions",
            "title": "Actions",
            "converter": "something_something",
            "source": "folder",
            "columns": {
                "video": {"type": "video"},
                "label": {"type": "label"},
                "text": {"type": "text", "field": "label"},
                "objects": {"type": "text_list", "field": "placeholders"},
            },
            "splits": {"train": "train", "test": "test"},
        }
    )


def row(number: int, template: str, thing: str) -> dict[str, Any]:
    text = template.replace("[something]", thing).lower()
    return {"id": str(number), "label": text, "template": template, "placeholders": [thing]}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two labelled videos of three in train, one in test without its answer."""
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "labels.json").write_text(json.dumps(LABELS))
    train = [
        row(7, "Pushing [something] so that it falls", "a cup"),
        row(3, "Holding [something]", "a pen"),
        row(9, "Holding [something]", "nothing"),
    ]
    (labels / "something-something-v2-train.json").write_text(json.dumps(train))
    (labels / "something-something-v2-test.json").write_text(json.dumps([{"id": "1"}]))
    videos = tmp_path / "20bn-something-something-v2"
    videos.mkdir()
    for number in (7, 3, 1):
        (videos / f"{number}.webm").write_bytes(b"video %d" % number)
    return tmp_path


def test_templates_are_classes_and_labels_and_placeholders_text(source: Path) -> None:
    found = scan(action_card(), source)
    assert found.classes == ("Holding something", "Pushing something so that it falls")
    assert [sample.read() for sample in found.samples] == [
        {"video": b"video 7", "label": 1, "text": "pushing a cup so that it falls", "objects": ["a cup"]},
        {"video": b"video 3", "label": 0, "text": "holding a pen", "objects": ["a pen"]},
        {"video": b"video 1", "label": -1, "text": "", "objects": []},
    ]
    assert [(entry.name, entry.reason) for entry in found.skipped] == [
        ("train 9", "in the label list, but not on disk")
    ]


def test_answers_label_the_test_split(source: Path) -> None:
    (source / "labels/test-answers.csv").write_text("1;Holding something\r\n2;Unheard of\r\n")
    record = scan(action_card(), source).samples[2].read()
    assert (record["label"], record["text"]) == (0, "Holding something")


def test_templates_of_no_class_and_repeated_identifiers_are_listed(source: Path) -> None:
    path = source / "labels/something-something-v2-train.json"
    more = [*json.loads(path.read_text()), row(1, "Eating [something]", "soup"), row(7, "Holding [something]", "b")]
    path.write_text(json.dumps(more))
    reasons = [entry.reason for entry in scan(action_card(), source).skipped]
    assert "its template 'Eating something' is not in labels.json" in reasons
    assert "its video 20bn-something-something-v2/7.webm belongs to an earlier row" in reasons


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.json", "", r"labels.json is empty"),
        ("labels.json", "[]", r"labels.json does not list the classes"),
        ("labels.json", '{"a": "0", "b": "2"}', r"are not numbered 0 to 1"),
        ("something-something-v2-train.json", "{", r"train.json is no JSON file"),
        ("something-something-v2-train.json", "[" * 100_000, r"train.json is no JSON file"),
        ("something-something-v2-train.json", '{"id": 1}', r"train.json is no label list"),
    ],
    ids=["empty", "a list", "gaps", "not JSON", "deep nesting", "an object"],
)
def test_a_file_that_is_not_what_it_should_be_is_named(source: Path, name: str, content: str, message: str) -> None:
    (source / "labels" / name).write_text(content)
    with pytest.raises(DataError, match=message):
        scan(action_card(), source)


def test_the_names_of_the_newer_release_are_found_too(source: Path) -> None:
    before = [sample.name for sample in scan(action_card(), source).samples]
    for split in ("train", "test"):
        (source / f"labels/something-something-v2-{split}.json").rename(source / f"labels/{split}.json")
    assert [sample.name for sample in scan(action_card(), source).samples] == before


def test_absent_files_are_named(source: Path) -> None:
    (source / "labels/labels.json").unlink()
    with pytest.raises(NotFound, match=r"no file matches .*labels.json"):
        scan(action_card(), source)
