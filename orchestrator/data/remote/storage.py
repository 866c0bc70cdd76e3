"""A remote folder through fsspec: sizes, ranges of bytes, and puts; one try each, errors as the driver has them."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.base.errors import UsageError
from orchestrator.data.remote.errors import Meaning, ShortBody, has_no_way, meaning
from orchestrator.data.remote.retry import Patience
from orchestrator.spec.place import RemotePlace, s3_endpoint

_TAGS = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "mtime", "created")
_DIGEST = "sha256"
_SMALL = 64 * 2**20


@dataclass(frozen=True)
class ObjectState:
    """An object as its store describes it: size in bytes, and a tag that changes with its content, if there is one."""

    size: int
    tag: str


class Storage:
    """The objects of one remote folder. Each process has connections of its own: a fork starts without any.

    Args:
        place: the folder.
        patience: for its time-outs only; nothing is tried twice here.
    """

    def __init__(self, place: RemotePlace, patience: Patience) -> None:
        self.place = place
        self._patience = patience
        self._process = os.getpid()
        self._driver: Any = None
        self._lock = threading.Lock()

    def state(self, name: str) -> ObjectState:
        """Size and tag of an object."""
        info = self._files().info(self.place.object(name))
        tag = next((str(info[key]) for key in _TAGS if info.get(key)), "")
        return ObjectState(int(info.get("size") or 0), tag)

    def read(self, name: str, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of an object.

        Raises:
            ShortBody: fewer came.
        """
        content = self._content(name, start, stop)
        if len(content) != stop - start:
            raise ShortBody(f"{len(content)} bytes came of the {stop - start} from {start} on")
        return content

    def read_all(self, name: str) -> bytes:
        """A small object whole, in one request."""
        return self._content(name, 0, _SMALL)

    def _content(self, name: str, start: int, stop: int) -> bytes:
        files = self._files()
        limit = {"timeout": self._patience.request_seconds} if files.async_impl else {}
        content: bytes = files.cat_file(self.place.object(name), start=start, end=stop, **limit)
        return content

    def digest(self, name: str) -> str:
        """The SHA-256 that whoever put the object stored beside it; empty where there is none."""
        if not self._has_metadata:
            return ""
        return str(self._files().metadata(self.place.object(name)).get(_DIGEST, ""))

    def put(self, name: str, source: Path, sha256: str) -> None:
        """Store a local file under `name`, with its digest where the store keeps such."""
        extra: Mapping[str, Any] = {"Metadata": {_DIGEST: sha256}} if self._has_metadata else {}
        self._files().put_file(str(source), self.place.object(name), **extra)

    def replace(self, name: str, content: bytes) -> None:
        """Store a small object, in the place of the one of this name."""
        self._files().pipe_file(self.place.object(name), content)

    def names(self) -> list[str]:
        """The names of all objects of the folder, those in folders of it included, in order."""
        above = f"{self.place.path}/"
        found = self._files().find(self.place.path)
        return sorted(path.removeprefix(above) for path in map(str, found) if path.startswith(above))

    def create(self, name: str, content: bytes) -> bool:
        """Store a small object unless there is one of this name; a store without such a request overwrites it.

        Returns:
            Whether it is stored.
        """
        path = self.place.object(name)
        try:
            self._files().pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        except Exception as error:  # each driver has errors of its own
            if meaning(error) is Meaning.CHANGED:
                return False
            if not has_no_way(error):
                raise
            self._files().pipe_file(path, content)
        return True

    def delete(self, name: str) -> None:
        """Delete an object."""
        self._files().rm_file(self.place.object(name))

    @property
    def _has_metadata(self) -> bool:
        return self.place.protocol in {"s3", "s3a"}

    def _files(self) -> Any:
        if self._process != os.getpid():  # after a fork the lock may be held by a thread that is not here
            self._process, self._lock, self._driver = os.getpid(), threading.Lock(), None
        with self._lock:
            if self._driver is None:
                self._driver = self._connect()
            return self._driver

    def _connect(self) -> Any:
        import fsspec

        try:
            kind = fsspec.get_filesystem_class(self.place.protocol)
        except ImportError as error:
            raise UsageError(
                f"{self.place.url} cannot be read here: {error}", hint="pip install 'orchestrator[s3]'"
            ) from error
        except ValueError as error:
            raise UsageError(f"{self.place.url}: no such protocol", hint="use s3://bucket/path, or a path") from error
        files = kind(skip_instance_cache=True, use_listings_cache=False, **self._options())
        if self._has_metadata:
            files.retries = 1  # whoever asks here tries again, and knows how long
        return files

    def _options(self) -> dict[str, Any]:
        if not self._has_metadata:
            return {}
        endpoint = s3_endpoint(os.environ)
        config = {
            "connect_timeout": self._patience.connect_seconds,
            "read_timeout": self._patience.read_seconds,
            "retries": {"total_max_attempts": 1},
            "max_pool_connections": 64,
        }
        return {"config_kwargs": config, "endpoint_url": endpoint}
