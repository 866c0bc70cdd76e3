"""A job whose dataset is built anew while it rests: it fails once, says why, and is not tried in vain."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CARD = """
name: dots
title: Dots
converter: image_folder
source: folder
columns:
  image: {type: image, channels: 1}
  label: {type: label, classes: [dark, light]}
splits: {train: train, test: test, validation: 4}
statistics: {mean: [0.5], std: [0.25]}
"""
WORKLOAD = """
name: dots
recipe: regnet
data: {dataset: SHARDS, image_size: 8}
model: {stem: cifar, stem_width: 8, depth: 4, w0: 8, wa: 8.0, wm: 2.0, group_width: 8}
optim: {lr: 0.01}
train: {epochs: 10000, batch_size: 8}
retry: {application: 3, data: 3, infrastructure: 3}
"""
Answer = Callable[..., Any]


def draw(path: Path, number: int, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 60, (8, 8)) + shade
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for number in range(24):
        name, shade = ("dark", 0) if number % 2 else ("light", 180)
        draw(folder / ("test" if number < 4 else "train") / name / f"{number}.png", number, shade)
    (tmp_path / "dots.yaml").write_text(CARD)
    return folder


def until(condition: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.3)
    raise AssertionError("it did not happen in time")


def test_a_retry_on_other_data_fails_for_good_and_names_both_versions(
    orchestrator: Callable[..., "subprocess.CompletedProcess[str]"], answer: Answer, images: Path, tmp_path: Path
) -> None:
    shards, card = tmp_path / "shards", tmp_path / "dots.yaml"
    workload = tmp_path / "dots-workload.yaml"
    workload.write_text(WORKLOAD.replace("SHARDS", str(shards)))

    def build() -> str:
        return str(answer("data", "build", str(card), "--source", str(images), "--out", str(shards))["version"])

    then = build()
    job = answer("submit", str(workload))["job"]["id"]
    until(lambda: any(event["kind"] == "checkpoint" for event in answer("events", job)))
    orchestrator("cancel", job)
    until(lambda: answer("status", job)["job"]["state"] == "cancelled")

    draw(images / "train/dark/9.png", 9, 1)
    for old in shards.iterdir():
        old.unlink()
    now = build()
    assert now != then
    orchestrator("retry", job)
    status = until(lambda: (found := answer("status", job)["job"])["state"] == "failed" and found)
    for part in (then, now, "the data has changed", "submit the workload as a new job"):
        assert part in status["reason"]
    assert len(status["runs"]) == 2, "a failure that no retry can mend is not tried again"
    assert status["failures"].get("permanent") == 1
