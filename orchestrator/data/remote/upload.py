"""Publishes a built dataset to a URL: shards and table first, `index.json` last, so that half a dataset is none."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.clock import SystemClock
from orchestrator.base.errors import Conflict, DataError, NotFound, RemoteUnavailable, UsageError
from orchestrator.data.catalog import Catalog
from orchestrator.data.index import DatasetIndex
from orchestrator.data.remote.errors import ObjectMissing, ShortBody, no_bucket
from orchestrator.data.remote.opening import NoBucket, read_remote_header
from orchestrator.data.remote.retry import Attempts
from orchestrator.data.remote.settings import RemoteSettings
from orchestrator.data.remote.storage import Storage
from orchestrator.data.remote.transfer import file_sha256
from orchestrator.data.table import TABLE_FILE
from orchestrator.spec.place import RemotePlace, parse_location
from orchestrator.spec.placement import INDEX_FILE

MARKER = "publishing.json"
"""Lies beside the shards while they are published, and says which version they are of."""

_HINT = "publish to another URL, or delete what is there first"
_NO_BUCKET = "make the bucket first"


@dataclass(frozen=True)
class _File:
    path: Path
    size: int
    sha256: str


def publish(
    root: Path,
    url: str,
    progress: Callable[[int, int], None] | None = None,
    *,
    settings: RemoteSettings | None = None,
) -> int:
    """Upload the dataset at `root`. What is there already, with the right size and SHA-256, is not uploaded again.

    Args:
        root: a built dataset.
        url: a folder in a remote store; its bucket must exist.
        progress: called after each file with (bytes uploaded, bytes that were missing).
        settings: patience and threads; default: as the environment says.

    Returns:
        The number of files that were missing, and are there now.

    Raises:
        UsageError: the URL is none of a remote store.
        Conflict: another dataset, or another version, is there or is being published there.
        NotFound: there is no such bucket.
        DataError: a local file is not as the index says, or the index there is damaged.
        RemoteUnavailable: the store does not answer; calling again goes on.
    """
    place = parse_location(url)
    if not isinstance(place, RemotePlace):
        raise UsageError(f"{place} is a local folder", hint="give a URL such as s3://bucket/data/cifar10, or copy it")
    settings = settings or RemoteSettings.from_environment()
    index = DatasetIndex.open(root)
    uploader = _Uploader(Storage(place, settings.patience), settings, index.version)
    uploader.claim()
    files = _files(root, index.catalog)
    with ThreadPoolExecutor(settings.threads) as pool:
        there = list(pool.map(uploader.has, files))
        missing = [one for one, found in zip(files, there, strict=True) if not found]
        done = _Counter(sum(one.size for one in missing), progress)
        try:
            for _ in pool.map(lambda one: done.add(uploader.put(one)), [one for one in missing if one != files[-1]]):
                pass
        except BaseException:
            uploader.stop.set()
            raise
    if not there[-1]:
        uploader.claim()  # again: what was there when it began may have been deleted, and another one come
        done.add(uploader.put(files[-1]))
    uploader.release()
    return len(missing)


class _Uploader:
    """Puts the files of one version into a remote folder; called by several threads."""

    def __init__(self, storage: Storage, settings: RemoteSettings, version: str) -> None:
        self._storage = storage
        self._settings = settings
        self._version = version
        self.stop = threading.Event()

    def claim(self) -> None:
        """Refuse where another dataset is, or is being put; say that this one is.

        Of several that publish to one URL at once, where the store can create an object exclusively, one goes on.
        """
        self._refuse_another()
        if self._marked():
            return
        marker = json.dumps({"version": self._version}).encode()
        self._try(MARKER, lambda: self._storage.create(MARKER, marker))
        self._marked()
        try:
            self._refuse_another()  # it may have come whole before the marker did
        except Conflict:
            self.release()
            raise

    def _refuse_another(self) -> None:
        url = self._storage.place.url
        try:
            found = read_remote_header(self._storage, self._settings).version
        except NoBucket as error:
            raise NotFound(f"cannot write to {url}: the bucket does not exist", hint=_NO_BUCKET) from error
        except NotFound:
            return
        except RemoteUnavailable:
            raise
        except DataError as error:
            raise DataError(
                error.message, hint=f"if it is of this dataset, delete {url}/{INDEX_FILE} and publish again"
            ) from error
        if found != self._version:
            raise Conflict(f"{url} holds another dataset, version {found[:16]}", hint=_HINT)

    def _marked(self) -> bool:
        """Whether the marker is there; refuses where it is another dataset's."""
        begun = self._begun()
        if begun not in {"", self._version}:
            where = self._storage.place.url
            raise Conflict(f"another dataset, version {begun[:16]}, is being published to {where}", hint=_HINT)
        return bool(begun)

    def has(self, one: _File) -> bool:
        """Whether a file is there, of the right size and SHA-256."""
        name = one.path.name
        try:
            size = self._attempts(name).run(lambda: self._storage.state(name)).size
            return size == one.size and self._attempts(name).run(lambda: self._storage.digest(name)) == one.sha256
        except ObjectMissing:
            return False

    def put(self, one: _File) -> int:
        """Upload a file; its size.

        Raises:
            DataError: it is not as the index says, or another file failed before.
        """
        if self.stop.is_set():
            raise DataError(f"{one.path.name} is not uploaded, since another file could not be")
        if not one.path.exists() or file_sha256(one.path).hex() != one.sha256:
            raise DataError(
                f"{one.path} is not as the index says; it is not published",
                hint=f"orchestrator data verify {one.path.parent}",
            )
        self._try(one.path.name, lambda: self._put_whole(one))
        return one.size

    def release(self) -> None:
        """All is there; another process that has published the same may have said so first."""
        with contextlib.suppress(ObjectMissing):
            self._attempts(MARKER).run(lambda: self._storage.delete(MARKER))

    def _put_whole(self, one: _File) -> None:
        self._storage.put(one.path.name, one.path, one.sha256)
        size = self._storage.state(one.path.name).size
        if size != one.size:
            raise ShortBody(f"{size} bytes are there, {one.size} were sent")

    def _begun(self) -> str:
        try:
            content = self._attempts(MARKER).run(lambda: self._storage.read_all(MARKER))
            return str(json.loads(content)["version"])
        except ObjectMissing:
            return ""
        except (ValueError, KeyError, TypeError):
            return "unknown"

    def _try(self, name: str, action: Callable[[], object]) -> None:
        try:
            self._attempts(name).run(action)
        except ObjectMissing as error:
            url = self._storage.place.url
            hint = _NO_BUCKET if no_bucket(error) else "check the URL, and the rights in the store"
            raise NotFound(f"cannot write to {url}: {error.message}", hint=hint) from error

    def _attempts(self, name: str) -> Attempts:
        return Attempts(f"{self._storage.place.url}/{name}", self._settings.patience, SystemClock())


class _Counter:
    """Bytes done, by several threads."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self._total = total
        self._progress = progress
        self._done = 0
        self._lock = threading.Lock()

    def add(self, size: int) -> None:
        """So many more."""
        with self._lock:
            self._done += size
            if self._progress is not None:
                self._progress(self._done, self._total)


def _files(root: Path, catalog: Catalog) -> list[_File]:
    """Every file of a dataset, the index last."""
    shards = range(len(catalog.shards))
    files = [_File(root / catalog.name(n), catalog.size(n), catalog.sha256(n).hex()) for n in shards]
    table = catalog.header.table
    content = (root / INDEX_FILE).read_bytes()
    last = _File(root / INDEX_FILE, len(content), hashlib.sha256(content).hexdigest())
    return [*files, _File(root / TABLE_FILE, table.bytes, table.sha256), last]
