"""A real S3 protocol server on loopback, behind a proxy that injects faults, with a small dataset in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.data.header import Description
from orchestrator.data.index import DatasetIndex
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.remote.retry import Patience
from orchestrator.data.remote.settings import RemoteSettings
from orchestrator.data.schema import Schema
from orchestrator.data.writer import DatasetWriter, Limits
from orchestrator.testing.faultproxy import FaultProxy

QUICK = Patience(
    tries=5,
    first_seconds=0.001,
    longest_seconds=0.01,
    stalled_seconds=20.0,
    connect_seconds=2.0,
    read_seconds=1.0,
    request_seconds=2.0,
)
ROWS, SHARD_ROWS, VALUE = 40, 8, 2000


@dataclass
class Bucket:
    """A dataset of 40 rows in 5 shards, on disk and in a bucket; `settings` are for its readers."""

    root: Path
    url: str
    proxy: FaultProxy
    client: Any
    name: str
    settings: RemoteSettings

    def open(self, **options: Any) -> ShardedDataset:
        changes = {name: options.pop(name) for name in list(options) if hasattr(self.settings, name)}
        return ShardedDataset(self.url, "train", remote=replace(self.settings, **changes), **options)

    def put(self, name: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=f"data/{name}", Body=content)

    def damage(self, name: str, change: Callable[[bytes], bytes]) -> None:
        self.put(name, change((self.root / name).read_bytes()))

    def replace(self) -> None:
        """Put another dataset in the place of this one: its images are 100 more."""
        for path in write_dataset(self.root.with_name("other"), first=100).iterdir():
            self.put(path.name, path.read_bytes())

    def delete(self, name: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=f"data/{name}")

    def ranges(self, name: str) -> list[str]:
        """The byte ranges of a file that were asked for."""
        return [one.range.removeprefix("bytes=") for one in self.proxy.requests(f"/data/{name}$")]

    @property
    def folder(self) -> Path:
        """Of the dataset in the cache."""
        return self.settings.cache / "datasets" / DatasetIndex.open(self.root).version

    def offset(self, row: int) -> int:
        return int(DatasetIndex.open(self.root).table.records[row]["image.offset"])


def write_dataset(root: Path, *, first: int = 0) -> Path:
    """40 rows: row n is 2,000 times the byte n + first, labelled n."""
    schema = Schema.of([("image", "image"), ("label", "label")])
    limits = Limits(shard_rows=SHARD_ROWS, batch_rows=4)
    with DatasetWriter(root, schema, Description(name="tiny"), limits=limits) as writer:
        for row in range(ROWS):
            writer.write("train", {"image": bytes([row + first]) * VALUE, "label": row})
    return root


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset, written once: each test has a copy, which costs a twentieth."""
    return write_dataset(tmp_path_factory.mktemp("written") / "tiny")


@pytest.fixture
def empty(s3_proxy: FaultProxy, s3_client: Any, s3_bucket: str, written: Path, tmp_path: Path) -> Bucket:
    """The dataset on disk, and a bucket with nothing in it."""
    settings = RemoteSettings(tmp_path / "cache", 10 * 2**20, QUICK, chunk_bytes=8192)
    root = Path(shutil.copytree(written, tmp_path / "tiny"))
    return Bucket(root, f"s3://{s3_bucket}/data", s3_proxy, s3_client, s3_bucket, settings)


@pytest.fixture
def bucket(empty: Bucket) -> Bucket:
    """The dataset on disk and in a bucket."""
    for path in empty.root.iterdir():
        empty.put(path.name, path.read_bytes())
    return empty
