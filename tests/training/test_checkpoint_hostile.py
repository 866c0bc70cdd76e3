"""A checkpoint that somebody else wrote executes nothing and reaches nothing outside of it."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_workers import ALONE, files_of, pretended, saved, shard_of

from orchestrator.base.errors import DataError
from orchestrator.training.checkpoint import CheckpointStore
from orchestrator.training.checkpoint.items import file_entry


class Payload:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("executed",)


def rewrite(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest of checkpoint 1 as somebody would who knows how its digest is made."""
    path = files_of(root, 1)["manifest"]
    content = json.loads(path.read_text())["content"]
    change(content)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({"content": content, "sha256": digest}))


def with_item(root: Path, value: object) -> CheckpointStore:
    """A checkpoint whose digests are right and whose one tensor is something else."""
    store = saved(root, 1)
    part = files_of(root, 1)["part-0"]
    torch.save(value, part)
    entry = file_entry(part)

    def change(content: dict[str, Any]) -> None:
        content["files"] = {name: {"bytes": entry.bytes, "sha256": entry.sha256} for name in content["files"]}
        content["tensors"]["model/w"]["chunks"][0]["length"] = entry.bytes

    rewrite(root, change)
    return store


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
@pytest.mark.parametrize(
    "value",
    [Payload(), [Payload()], {"w": torch.ones(3)}, torch.ones(4), torch.ones(3).double(), torch.ones(3).to_sparse()],
    ids=["payload", "nested", "dictionary", "shape", "dtype", "sparse"],
)
def test_an_item_that_is_no_such_tensor_is_refused_and_not_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    monkeypatch.chdir(tmp_path)
    store = with_item(tmp_path / "c", value)
    found = store.newest()
    assert found is not None
    for use in (lambda: store.model_of(found), lambda: store.load(found, {"model/w": torch.zeros(3)}, ALONE)):
        with pytest.raises(DataError, match="something other than"):
            use()
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("value", [Payload(), torch.ones(4), {"w": 1}], ids=["payload", "shape", "dictionary"])
def test_neither_is_it_by_a_worker_with_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: object) -> None:
    monkeypatch.chdir(tmp_path)
    store = with_item(tmp_path / "c", value)
    with pretended(0, 2) as mesh, pytest.raises(DataError, match="something other than"):
        store.load(store.read(1), {"model/w": shard_of(torch.zeros(3), mesh)}, ALONE)
    assert not (tmp_path / "executed").exists()


def test_a_pickle_beside_the_manifest_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = saved(tmp_path / "c", 1)
    for folder in (tmp_path / "c", tmp_path / "c" / f"samples-{1:015d}"):
        (folder / ".metadata").write_bytes(pickle.dumps(Payload()))
    found = store.newest()
    assert found is not None
    with pretended(0, 1) as mesh:
        store.load(found, {"model/w": shard_of(torch.zeros(3), mesh)}, ALONE)
    assert not (tmp_path / "executed").exists()


def _file(content: dict[str, Any], name: str) -> None:
    content["files"] = {name: next(iter(content["files"].values()))}
    content["tensors"]["model/w"]["chunks"][0]["file"] = name


def _tensor(content: dict[str, Any], **change: object) -> None:
    content["tensors"]["model/w"].update(change)


def _chunk(content: dict[str, Any], **change: object) -> None:
    content["tensors"]["model/w"]["chunks"][0].update(change)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: _file(c, "../../elsewhere/part-0.distcp"),
        lambda c: _file(c, "/etc/passwd"),
        lambda c: _file(c, f"{c['attempt']}/../part-0.distcp"),
        lambda c: _file(c, f"{c['attempt']}/part-0.distcp\n"),
        lambda c: _file(c, f"{'0' * 16}/part-0.distcp"),
        lambda c: c.update(attempt="../../.."),
        lambda c: c.update(attempt=""),
        lambda c: c.update(samples=-1),
        lambda c: c.update(samples=float("inf")),
        lambda c: c.update(samples=None),
        lambda c: c.update(format=1),
        lambda c: c.update(files=[]),
        lambda c: c.update(files={}),
        lambda c: c.update(tensors=[1]),
        lambda c: c.update(tensors={"w": None}),
        lambda c: c.update(meta=7),
        lambda c: c.pop("measures"),
        lambda c: _tensor(c, dtype="load"),
        lambda c: _tensor(c, dtype="__class__"),
        lambda c: _tensor(c, shape=[2**62]),
        lambda c: _tensor(c, shape=[-3]),
        lambda c: _tensor(c, shape=[3, 1]),
        lambda c: _tensor(c, shape="abc"),
        lambda c: _tensor(c, chunks=[]),
        lambda c: _tensor(c, shape=[2**40], chunks=[{**c["tensors"]["model/w"]["chunks"][0], "sizes": [2**40]}]),
        lambda c: _chunk(c, offsets=[1]),
        lambda c: _chunk(c, offsets=[-1]),
        lambda c: _chunk(c, sizes=[2]),
        lambda c: _chunk(c, offset=-8),
        lambda c: _chunk(c, offset=10**9),
        lambda c: _chunk(c, length=10**9),
        lambda c: _chunk(c, length=1),
        lambda c: _chunk(c, file="part-0.distcp"),
    ],
)
def test_a_manifest_that_says_what_cannot_be_is_passed_over(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    store = saved(tmp_path, 1)
    rewrite(tmp_path, change)
    told: list[str] = []
    assert store.newest(told.append) is None
    assert "manifest.json is damaged" in told[0]


@pytest.mark.parametrize(
    "document",
    [b"", b"{}", b"[]", b"null", b"half", b'{"content": {}, "sha256": ""}', b"\xff\xfe", b"[" * 100_000, b"\0" * 99],
)
def test_a_file_that_is_no_manifest_is_passed_over(tmp_path: Path, document: bytes) -> None:
    store = saved(tmp_path, 1)
    files_of(tmp_path, 1)["manifest"].write_bytes(document)
    told: list[str] = []
    assert store.newest(told.append) is None
    assert "manifest.json is damaged" in told[0]


def test_a_change_without_the_digest_is_noticed(tmp_path: Path) -> None:
    store = saved(tmp_path, 1)
    path = files_of(tmp_path, 1)["manifest"]
    path.write_text(path.read_text().replace('"at": 1', '"at": 2'))
    told: list[str] = []
    assert store.newest(told.append) is None
    assert "differs from its checksum" in told[0]
