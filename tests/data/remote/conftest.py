"""A real S3 protocol server on loopback, behind a proxy that injects faults, with a small dataset in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
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
from orchestrator.testing.faultproxy import FaultProxy, fault_proxy

QUICK = Patience(
    tries=5,
    first_seconds=0.001,
    longest_seconds=0.01,
    stalled_seconds=20.0,
    connect_seconds=2.0,
    read_seconds=1.0,
    request_seconds=2.0,
)
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIATESTS",
    "AWS_SECRET_ACCESS_KEY": "not-so-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
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
def s3_port() -> Iterator[int]:
    """The port of an S3 server on loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture(scope="session")
def s3_client(s3_port: int) -> Any:
    """A client that talks to the server directly."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{s3_port}",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )


@pytest.fixture
def proxy(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A fault proxy that the environment names as the endpoint."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    with fault_proxy(s3_port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        yield proxy


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset, written once: each test has a copy, which costs a twentieth."""
    return write_dataset(tmp_path_factory.mktemp("written") / "tiny")


@pytest.fixture
def empty(proxy: FaultProxy, s3_client: Any, written: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Bucket:
    """The dataset on disk, and a bucket with nothing in it."""
    name = f"tests-{abs(hash(request.node.nodeid)):x}"
    s3_client.create_bucket(Bucket=name)
    settings = RemoteSettings(tmp_path / "cache", 10 * 2**20, QUICK, chunk_bytes=8192)
    root = Path(shutil.copytree(written, tmp_path / "tiny"))
    return Bucket(root, f"s3://{name}/data", proxy, s3_client, name, settings)


@pytest.fixture
def bucket(empty: Bucket) -> Bucket:
    """The dataset on disk and in a bucket."""
    for path in empty.root.iterdir():
        empty.put(path.name, path.read_bytes())
    return empty
