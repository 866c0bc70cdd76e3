"""`orchestrator data` on datasets of images that are made here: what was left out, URLs, sheets, statistics."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CARD = """
name: pets
title: Pets
converter: image_folder
source: folder
columns:
  image: {type: image, channels: 3}
  label: {type: label, classes: [cat, dog]}
splits: {train: train}
rows: {train: 9}
"""


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a card, four pictures and two files that are none; the current one."""
    for number in range(4):
        folder = tmp_path / "source" / "train" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "source" / "train" / "cat" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "source" / "train" / "dog" / "notes.txt").write_text("hello")
    (tmp_path / "pets.yaml").write_text(CARD)
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_build_tells_what_was_left_out_by_reason_and_where_the_list_lies(cli, pets: Path) -> None:
    outcome = cli("data", "build", "./pets.yaml", "--source", "source", "--out", "built", "--processes", "2")
    assert outcome.code == 0
    assert "train 4; " in outcome.out
    assert "for data.mean and data.std of a workload: orchestrator data stats built" in outcome.err
    assert "left out 1: not an image of a known format: " in outcome.err
    assert "notes.txt" in outcome.err
    assert f"listed in {pets / 'built' / 'skipped.json'}" in outcome.err
    assert "warning: train has 4 rows and 1 left out; the card says 9" in outcome.err
    listed = json.loads((pets / "built" / "skipped.json").read_text())["skipped"]
    assert len(listed) == 2


def test_a_build_as_json_counts_by_reason(cli, pets: Path) -> None:
    document = cli("data", "build", "./pets.yaml", "--source", "source", "--out", "built", "--json").document["data"]
    assert sorted(document["skipped_by_reason"].values()) == [1, 1]
    assert (document["rows"], document["kept"], document["shards"]) == ({"train": 4}, 0, 1)


def test_statistics_and_a_contact_sheet_of_a_built_folder(cli, pets: Path) -> None:
    cli("data", "build", "./pets.yaml", "--source", "source", "--out", "built")
    outcome = cli("data", "stats", "./built")
    assert "label: 2 classes, 2 rows each" in outcome.out
    assert "mean: [" in outcome.out
    assert cli("data", "stats", "./built", "--json").document["data"]["images"]["image"]["width"]["most"] == 12
    assert "mean and std not stated" in cli("data", "info", "./built").out
    drawn = cli("data", "head", "./built", "--sheet", "sheet.png", "-n", "2")
    assert drawn.out == "drew 2 rows of train into sheet.png\n"
    assert Image.open(pets / "sheet.png").format == "PNG"


@pytest.mark.parametrize("name", ["sheet.jpg", "nowhere/sheet.png"])
def test_a_sheet_that_cannot_be_written_is_a_mistake_of_the_command(cli, pets: Path, name: str) -> None:
    cli("data", "build", "./pets.yaml", "--source", "source", "--out", "built")
    assert cli("data", "head", "./built", "--sheet", name).code == 2


def test_a_bad_url_is_refused_before_anything_is_built(cli, pets: Path) -> None:
    outcome = cli("data", "build", "./pets.yaml", "--source", "source", "--out", "s3://user:secret@bucket/x")
    assert outcome.code == 2
    assert "secret" not in outcome.err
    assert not list(pets.glob("**/index.json"))


def test_a_dataset_that_is_built_is_not_built_again_and_said_to_be_there(cli, pets: Path) -> None:
    command = ("data", "build", "./pets.yaml", "--source", "source")
    first = cli(*command)
    again = cli(*command)
    assert (again.code, again.out) == (0, first.out)
    assert "is built already" in again.err
    assert cli(*command, "--json").document["data"]["version"]


@pytest.mark.parametrize("out", [(), ("--out", "s3://bucket/pets")])
def test_a_source_that_has_changed_or_is_another_is_not_passed_over(cli, pets: Path, out: tuple[str, ...]) -> None:
    assert cli("data", "build", "./pets.yaml", "--source", "source").code == 0
    (pets / "source/train/dog/3.png").rename(pets / "source/train/dog/4.png")
    refused = cli("data", "build", "./pets.yaml", "--source", "source", *out)
    assert refused.code == 6
    assert "not from source as it is now" in refused.err
    assert "orchestrator data publish" in refused.err


def test_an_interrupted_build_says_how_many_shards_are_finished(
    cli, pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("orchestrator.data.build.make_here", stop)
    outcome = cli("data", "build", "./pets.yaml", "--source", "source", "--processes", "1")
    assert outcome.code == 130
    said = "interrupted: 0 of 1 shards are finished\n  next: the same command goes on from there\n"
    assert outcome.err.endswith(said)
    assert "\n\n" not in outcome.err
