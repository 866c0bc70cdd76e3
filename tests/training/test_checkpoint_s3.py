"""Checkpoints in an object store: a real S3 protocol server on loopback, behind a proxy that injects faults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_workers import ALONE, on_workers, pretended, save, shard_of

from orchestrator.base.errors import Fenced, NotFound, RemoteUnavailable, UsageError
from orchestrator.data.remote.retry import Patience
from orchestrator.testing.faultproxy import FaultProxy
from orchestrator.training.checkpoint import CheckpointStore, KeepPolicy

QUICK = Patience(
    tries=4, first_seconds=0.001, longest_seconds=0.01, stalled_seconds=20.0, connect_seconds=2.0, read_seconds=2.0
)


@dataclass
class Bucket:
    """A bucket of a test."""

    name: str
    client: Any
    proxy: FaultProxy

    @property
    def url(self) -> str:
        return f"s3://{self.name}/jobs/j-1/checkpoints"

    def store(self, keep: KeepPolicy = KeepPolicy(), **options: Any) -> CheckpointStore:  # noqa: B008
        return CheckpointStore(self.url, keep, remote=QUICK, **options)

    def saved(self, *places: int, keep: int = 2) -> CheckpointStore:
        store = self.store(KeepPolicy(keep))
        for samples in places:
            save(store, samples, {"model/w": torch.full((3,), float(samples))}, {"at": samples})
        return store

    def names(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        return [one["Key"].removeprefix("jobs/j-1/checkpoints/") for one in found]

    def change(self, ending: str, content: bytes | None) -> None:
        """Overwrite, or delete, the newest object whose name ends so."""
        name = f"jobs/j-1/checkpoints/{max(name for name in self.names() if name.endswith(ending))}"
        if content is None:
            self.client.delete_object(Bucket=self.name, Key=name)
        else:
            self.client.put_object(Bucket=self.name, Key=name, Body=content)

    def folders(self) -> list[int]:
        return sorted({int(name.partition("/")[0].removeprefix("samples-")) for name in self.names()})


@pytest.fixture
def bucket(s3_bucket: str, s3_client: Any, s3_proxy: FaultProxy) -> Bucket:
    return Bucket(s3_bucket, s3_client, s3_proxy)


def test_the_newest_is_read_back(bucket: Bucket) -> None:
    assert save(bucket.store(), 1, {"model/w": torch.zeros(3)}) == f"{bucket.url}/samples-{1:015d}"
    bucket.saved(2)
    store = bucket.store()
    found = store.newest()
    assert found is not None
    assert (found.samples, found.meta, found.path) == (2, {"at": 2}, f"{bucket.url}/samples-{2:015d}")
    into = torch.zeros(3)
    store.load(found, {"model/w": into}, ALONE)
    assert torch.equal(into, torch.full((3,), 2.0))
    assert torch.equal(bucket.store().model_of(bucket.store().read(2))["w"], into)


def test_copies_are_fetched_once_and_removed(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.saved(1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = bucket.store()
    found = store.newest()
    assert found is not None
    assert len(list(tmp_path.iterdir())) == 1
    store.load(found, {"model/w": torch.zeros(3)}, ALONE)
    assert list(tmp_path.iterdir()) == []
    assert len(bucket.proxy.requests(r"part-0\.distcp$")) == 1


def test_an_empty_bucket_has_no_checkpoint(bucket: Bucket) -> None:
    assert bucket.store().newest() is None


def test_a_bucket_that_is_not_there_is_said(bucket: Bucket) -> None:
    store = CheckpointStore("s3://nothing-of-the-kind/checkpoints", remote=QUICK)
    with pytest.raises(NotFound, match="bucket does not exist"):
        save(store, 1, {"w": torch.ones(1)})


def test_the_last_few_are_kept_and_nothing_else_is_left(bucket: Bucket) -> None:
    bucket.saved(1, 2, 3, 4)
    assert bucket.folders() == [3, 4]
    assert len(bucket.names()) == 4


@pytest.mark.parametrize("ending", ["part-0.distcp", "manifest.json"])
@pytest.mark.parametrize("content", [b"damaged", None])
def test_a_damaged_newest_one_is_named_and_the_one_before_is_used(
    bucket: Bucket, ending: str, content: bytes | None
) -> None:
    bucket.saved(1, 2)
    bucket.change(ending, content)
    told: list[str] = []
    found = bucket.store().newest(told.append)
    assert found is not None
    assert found.samples == 1
    assert len(told) == 1
    assert f"{bucket.url}/samples-{2:015d}" in told[0]


def test_several_workers_write_and_shards_are_read(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.training.checkpoint.pieces.ALONE_BYTES", 100)
    whole = {f"model/{n}": torch.full((7, 12), float(n)) for n in range(3)}
    on_workers(2, lambda group: bucket.store().begin(7, whole, {}, group).wait())
    assert sum(name.endswith(".distcp") for name in bucket.names()) == 2
    for rank in (0, 2):
        with pretended(rank, 3) as mesh:
            into = {name: shard_of(torch.zeros_like(tensor), mesh) for name, tensor in whole.items()}
            store = bucket.store()
            store.load(store.read(7), into, ALONE)
            for name, tensor in into.items():
                mine: Any = tensor
                assert torch.equal(mine.to_local(), whole[name].chunk(3)[rank])


def test_a_store_that_stumbles_is_asked_again(bucket: Bucket) -> None:
    bucket.proxy.inject("status", r"part-0\.distcp", methods=("PUT", "GET"), status=503, times=3)
    bucket.proxy.inject("reset", r"manifest\.json", methods=("PUT",), times=1)
    bucket.saved(1)
    found = bucket.store().newest()
    assert found is not None
    assert found.samples == 1


def test_a_store_that_is_down_is_not_a_damaged_checkpoint(bucket: Bucket) -> None:
    bucket.saved(1, 2)
    bucket.proxy.inject("status", r".*", status=500, times=100)
    told: list[str] = []
    with pytest.raises(RemoteUnavailable):
        bucket.store().newest(told.append)
    assert told == []


def test_one_that_cannot_be_put_is_not_there(bucket: Bucket) -> None:
    bucket.saved(1)
    bucket.proxy.inject("status", r"manifest\.json", methods=("PUT",), status=500, times=4)
    with pytest.raises(RemoteUnavailable):
        save(bucket.store(), 2, {"w": torch.ones(1)})
    assert bucket.folders() == [1]


def test_a_fenced_writer_publishes_nothing(bucket: Bucket) -> None:
    calls: list[int] = []

    def refuse_later() -> None:
        calls.append(1)
        if len(calls) > 2:
            raise Fenced("older token")

    with pytest.raises(Fenced):
        save(bucket.store(fence=refuse_later), 1, {"w": torch.ones(1)})
    assert bucket.names() == []


@pytest.mark.parametrize("url", ["s3://user:secret@bucket/x", "s3://bucket/../x", "s3://bucket/%2e%2e/x", "s3://"])
def test_a_url_with_tricks_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        CheckpointStore(url)
    assert "secret" not in str(refused.value)
