"""Which checkpoints stay, and what is cleared away."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from checkpoint_workers import ALONE, files_of, flip, folders, saved

from orchestrator.training.checkpoint import CheckpointStore, KeepPolicy
from orchestrator.training.checkpoint.keep import Entry, kept

ENTRIES = [
    Entry(10, 1, {"loss": 3.0}),
    Entry(15, None),
    Entry(20, 2, {"loss": 1.0}),
    Entry(30, 3, {"loss": math.nan}),
    Entry(40, 4, {"loss": 1.0}),
    Entry(50, 5, {"loss": 2.0}),
]


@pytest.mark.parametrize(
    ("policy", "stay"),
    [
        (KeepPolicy(1), {50}),
        (KeepPolicy(3), {30, 40, 50}),
        (KeepPolicy(1, best="loss"), {20, 50}),
        (KeepPolicy(1, best="unknown"), {50}),
        (KeepPolicy(1, every=2), {20, 40, 50}),
        (KeepPolicy(2, best="loss", every=3), {20, 30, 40, 50}),
        (KeepPolicy(9), {10, 15, 20, 30, 40, 50}),
    ],
)
def test_what_any_rule_keeps_stays(policy: KeepPolicy, stay: set[int]) -> None:
    assert kept(policy, ENTRIES) == stay


def test_a_policy_always_keeps_the_newest() -> None:
    with pytest.raises(ValueError, match="at least the newest"):
        KeepPolicy(0)


def test_the_last_few_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2, 3, 4, keep=3)
    assert folders(tmp_path) == [2, 3, 4]


def test_the_best_and_the_regular_ones_are_kept_across_stores(tmp_path: Path) -> None:
    for epoch, loss in enumerate([3.0, 1.0, 2.0, 4.0, 5.0], start=1):
        store = CheckpointStore(tmp_path, KeepPolicy(1, best="loss", every=4))
        store.begin(epoch * 10, {"w": torch.ones(1)}, {}, ALONE, epoch=epoch, measures={"loss": loss}).wait()
    assert folders(tmp_path) == [20, 40, 50]


@pytest.mark.parametrize("keep", [1, 2])
def test_what_was_just_saved_is_kept_and_what_lies_beyond_it_goes(tmp_path: Path, keep: int) -> None:
    saved(tmp_path, 1, 4, 5)
    for samples in (4, 5):
        flip(files_of(tmp_path, samples)["part-0"])
    store = saved(tmp_path, 2, keep=keep)
    found = store.newest()
    assert found is not None
    assert found.samples == 2
    assert max(folders(tmp_path)) == 2


def test_what_lies_beyond_a_save_takes_no_place_of_those_that_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2, 5, 6, keep=4)
    saved(tmp_path, 3, keep=2)
    assert folders(tmp_path) == [2, 3]


def test_a_damaged_one_takes_no_place_of_those_that_are_kept(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, 2)
    flip(files_of(tmp_path, 2)["part-0"])
    store.newest()
    store.begin(3, {"w": torch.ones(1)}, {}, ALONE).wait()
    assert folders(tmp_path) == [1, 3]


def test_what_a_killed_writer_left_is_cleared_away(tmp_path: Path) -> None:
    store = saved(tmp_path, 1)
    for place in ("samples-000000000000001/00000000000000ab", "samples-000000000000002/00000000000000cd"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "part-0.distcp").write_bytes(b"half")
    found = store.newest()
    assert found is not None
    assert found.samples == 1
    store.begin(3, {"w": torch.ones(1)}, {}, ALONE).wait()
    assert folders(tmp_path) == [1, 3]
    assert sorted(files_of(tmp_path, 1)) == ["manifest", "part-0"]


def test_what_is_not_a_checkpoint_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "samples-of-mine").mkdir()
    (tmp_path / "samples-of-mine" / "notes.txt").write_text("keep")
    (tmp_path / "readme").write_text("keep")
    store = saved(tmp_path, 1, 2, 3, keep=1)
    assert store.newest() is not None
    assert (tmp_path / "samples-of-mine" / "notes.txt").exists()
    assert (tmp_path / "readme").exists()
