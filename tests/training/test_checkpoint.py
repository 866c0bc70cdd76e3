"""Checkpoints are whole or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from orchestrator.base.errors import DataError, Fenced
from orchestrator.training.checkpoint import CheckpointStore


def saved(root: Path, *places: int, keep: int = 2) -> CheckpointStore:
    store = CheckpointStore(root, keep)
    for samples in places:
        store.save(samples, {"model": {"w": torch.full((3,), float(samples))}}, {"at": samples})
    return store


def test_the_newest_is_read_back(tmp_path: Path) -> None:
    found = saved(tmp_path / "c", 100, 900, 1000).newest()
    assert found is not None
    assert found.samples == 1000
    assert found.meta == {"at": 1000}
    assert torch.equal(found.tensors["model"]["w"], torch.full((3,), 1000.0))


def test_nothing_is_found_where_nothing_was_written(tmp_path: Path) -> None:
    assert CheckpointStore(tmp_path / "absent").newest() is None


def test_the_last_few_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2, 3, 4, keep=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"samples-{n:015d}" for n in (2, 3, 4)]


@pytest.mark.parametrize("name", ["state.pt", "meta.json"])
def test_a_damaged_newest_one_is_named_and_the_one_before_is_used(tmp_path: Path, name: str) -> None:
    store = saved(tmp_path, 1, 2)
    path = tmp_path / f"samples-{2:015d}" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    told: list[str] = []
    found = store.newest(told.append)
    assert found is not None
    assert found.samples == 1
    assert len(told) == 1
    assert f"{2:015d}" in told[0]
    assert f"{name} differs from its checksum" in told[0]


@pytest.mark.parametrize("keep", [1, 2])
def test_what_was_just_saved_is_kept_and_what_lies_beyond_it_goes(tmp_path: Path, keep: int) -> None:
    store = saved(tmp_path, 1, 4, 5)
    for samples in (4, 5):
        (tmp_path / f"samples-{samples:015d}" / "state.pt").write_bytes(b"damaged")
    saved(tmp_path, 2, keep=keep)
    found = store.newest()
    assert found is not None
    assert found.samples == 2
    assert not any((tmp_path / f"samples-{samples:015d}").exists() for samples in (4, 5))


def test_what_lies_beyond_a_save_takes_no_place_of_those_that_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2, 5, 6, keep=4)
    saved(tmp_path, 3, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"samples-{n:015d}" for n in (2, 3)]


ENTRY = {"bytes": 1, "sha256": "0"}


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {"files": {}},
        {"files": []},
        {"files": {"state.pt": ENTRY}},
        {"files": {"state.pt": None, "meta.json": 7}},
        {"files": {"state.pt": ENTRY, "meta.json": ENTRY, "../../elsewhere": ENTRY}},
        [],
        "half",
    ],
)
def test_a_damaged_manifest_is_named_and_the_checkpoint_before_is_used(tmp_path: Path, manifest: object) -> None:
    store = saved(tmp_path, 1, 2)
    folder = tmp_path / f"samples-{2:015d}"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "state.pt").unlink()
    told: list[str] = []
    found = store.newest(told.append)
    assert found is not None
    assert found.samples == 1
    assert len(told) == 1


def test_a_manifest_without_the_files_that_it_must_name_counts_as_damaged(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, 2)
    (tmp_path / f"samples-{2:015d}" / "manifest.json").write_text('{"files": {}}')
    told: list[str] = []
    store.newest(told.append)
    assert "manifest.json is damaged" in told[0]


def test_one_without_a_manifest_is_passed_over(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, 2)
    (tmp_path / f"samples-{2:015d}" / "manifest.json").unlink()
    told: list[str] = []
    found = store.newest(told.append)
    assert found is not None
    assert found.samples == 1
    assert "was not finished" in told[0]


def test_what_a_killed_writer_left_is_not_read_and_cleared_away(tmp_path: Path) -> None:
    store = saved(tmp_path, 1)
    (tmp_path / ".writing-x").mkdir()
    (tmp_path / ".writing-x" / "state.pt").write_bytes(b"half")
    found = store.newest()
    assert found is not None
    assert found.samples == 1
    saved(tmp_path, 2)
    assert not (tmp_path / ".writing-x").exists()


def test_the_same_place_can_be_written_again(tmp_path: Path) -> None:
    store = saved(tmp_path, 5)
    store.save(5, {"model": {}}, {"at": "again"})
    found = store.newest()
    assert found is not None
    assert found.meta == {"at": "again"}


def test_a_fenced_writer_writes_nothing(tmp_path: Path) -> None:
    def refuse() -> None:
        raise Fenced("older token")

    with pytest.raises(Fenced):
        CheckpointStore(tmp_path / "c", fence=refuse).save(1, {}, {})
    assert not (tmp_path / "c").exists()


def test_a_writer_that_is_fenced_while_it_writes_publishes_nothing(tmp_path: Path) -> None:
    calls: list[int] = []

    def refuse_the_second_time() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Fenced("older token")

    store = CheckpointStore(tmp_path, fence=refuse_the_second_time)
    with pytest.raises(Fenced):
        store.save(1, {}, {})
    assert list(tmp_path.iterdir()) == []


class Payload:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("executed",)


def test_a_pickle_payload_is_never_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = CheckpointStore(tmp_path / "c")
    store.save(1, {"model": Payload()}, {})
    with pytest.raises(DataError, match="something other than tensors"):
        store.newest()
    assert not (tmp_path / "executed").exists()
