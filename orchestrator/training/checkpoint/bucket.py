"""Checkpoints in an object store, through fsspec: `s3://bucket/prefix`.

Nothing can be renamed there. A checkpoint is there when its manifest is, and a put is atomic; the files that it names
have names that no other attempt has.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, TypeVar, cast

from orchestrator.base.errors import NotFound, RemoteUnavailable
from orchestrator.data.remote.errors import ObjectChanged, ObjectMissing, ShortBody, no_bucket
from orchestrator.data.remote.retry import Attempts, Patience
from orchestrator.data.remote.storage import Storage
from orchestrator.spec.place import RemotePlace
from orchestrator.training.checkpoint.items import HashingFile
from orchestrator.training.checkpoint.manifest import Damaged, FileEntry
from orchestrator.training.checkpoint.place import Fill

T = TypeVar("T")
_AT_ONCE = 16 * 2**20
_NO_BUCKET = "create the bucket, or name another one in train.checkpoint.to"


class Bucket:
    """A `Place` in an object store. Files pass through temporary ones, so that every request can be made again.

    Args:
        root: the folder.
        patience: with the store.
    """

    pause = 0.25

    def __init__(self, root: RemotePlace, patience: Patience) -> None:
        self._root, self._patience = root, patience
        self._storage = Storage(root, patience)
        self._copies: tempfile.TemporaryDirectory[str] | None = None
        self._fetched: dict[str, Path] = {}
        self._lock = threading.Lock()

    def where(self, name: str) -> str:
        """The URL."""
        return f"{self._root.url}/{name}"

    def names(self) -> list[str]:
        """The names of the objects under `samples-…`."""
        try:
            return [name for name in self._try("", self._storage.names) if name.startswith("samples-")]
        except ObjectMissing as error:
            self._refuse_no_bucket(error)
            return []

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        try:
            self._try(name, lambda: self._storage.state(name))
        except ObjectMissing:
            return False
        return True

    def read(self, name: str) -> bytes | None:
        """An object whole."""
        content = io.BytesIO()
        try:
            self._download(name, self._try(name, lambda: self._storage.state(name)).size, content)
        except (ObjectMissing, ObjectChanged):
            return None
        return content.getvalue()

    def replace(self, name: str, content: bytes) -> None:
        """Put an object."""
        self._put(name, lambda: self._storage.replace(name, content))

    def put(self, name: str, fill: Fill) -> FileEntry:
        """Put an object from a temporary file."""
        with tempfile.NamedTemporaryFile(prefix="orchestrator-checkpoint-") as spool:
            file = HashingFile(cast(BinaryIO, spool))
            fill(file)
            spool.flush()
            entry = file.entry()
            self._put(name, lambda: self._put_whole(name, Path(spool.name), entry))
        return entry

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects."""
        for name in names:
            with contextlib.suppress(ObjectMissing):
                self._try(name, partial(self._storage.delete, name))

    def checked(self, name: str, entry: FileEntry) -> Path:
        """A copy of an object."""
        return self.local(name, entry)

    def local(self, name: str, entry: FileEntry) -> Path:
        """A copy of an object, in a folder laid out as the store is."""
        if name not in self._fetched:
            path = self._folder() / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fetch(name, entry, path)
            self._fetched[name] = path
        return self._fetched[name]

    def release(self) -> None:
        """Remove the copies."""
        self._fetched = {}
        if self._copies is not None:
            self._copies.cleanup()
            self._copies = None

    def _folder(self) -> Path:
        with self._lock:
            if self._copies is None:
                prefix = "orchestrator-checkpoint-"
                self._copies = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
            return Path(self._copies.name)

    def _fetch(self, name: str, entry: FileEntry, path: Path) -> None:
        short = Path(name).name
        try:
            size = self._try(name, lambda: self._storage.state(name)).size
            if size != entry.bytes:
                raise Damaged(f"{short} differs from its checksum: {size} bytes, {entry.bytes} expected")
            with path.open("w+b") as file:
                self._download(name, size, file)
                file.seek(0)
                digest = hashlib.file_digest(cast(io.BufferedReader, file), "sha256").hexdigest()
        except ObjectMissing as error:
            raise Damaged(f"{short} is missing") from error
        except ObjectChanged as error:
            raise Damaged(f"{short} changes while it is read") from error
        if digest != entry.sha256:
            raise Damaged(f"{short} differs from its checksum")

    def _download(self, name: str, size: int, file: IO[bytes]) -> None:
        for start in range(0, size, _AT_ONCE):
            stop = min(start + _AT_ONCE, size)
            file.write(self._try(name, partial(self._storage.read, name, start, stop)))

    def _put_whole(self, name: str, path: Path, entry: FileEntry) -> None:
        self._storage.put(name, path, entry.sha256)
        size = self._storage.state(name).size
        if size != entry.bytes:
            raise ShortBody(f"{size} bytes are there, {entry.bytes} were sent")

    def _put(self, name: str, action: Callable[[], object]) -> None:
        try:
            self._try(name, action)
        except ObjectMissing as error:
            self._refuse_no_bucket(error)
            raise RemoteUnavailable(
                f"cannot write to {self.where(name)}: {error.message}",
                hint="check the URL, and the rights in the store",
            ) from error

    def _refuse_no_bucket(self, error: ObjectMissing) -> None:
        if no_bucket(error):
            raise NotFound(f"{self._root.url}: the bucket does not exist", hint=_NO_BUCKET) from error

    def _try(self, name: str, action: Callable[[], T]) -> T:
        return Attempts(self.where(name), self._patience).run(action)
