"""Where the shards of an open dataset come from: its own folder, or a node's cache of a remote one."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from orchestrator.base.errors import DataError
from orchestrator.data.catalog import Catalog
from orchestrator.data.table import TABLE_FILE


class ShardFiles(Protocol):
    """Local files of shards, by number over the whole dataset; whoever opens one may have to wait for it."""

    @property
    def location(self) -> str:
        """The dataset's path or URL, for messages."""
        ...

    @property
    def folder(self) -> Path:
        """The local folder that holds `table.bin` and whatever shards are here."""
        ...

    @property
    def remote(self) -> bool:
        """Whether shards and parts of the table may have to be fetched first."""
        ...

    def shard(self, number: int) -> Path:
        """The shard's local file, of the right size; fetched first where it is remote.

        Raises:
            ShardCorrupt: it is absent, of another size, or damaged where it comes from.
            RemoteUnavailable: it cannot be fetched now.
        """
        ...

    def ensure(self, numbers: Sequence[int]) -> None:
        """Have these shards and their records of the side table here, several fetched at once; errors as of `shard`."""
        ...

    def ensure_table(self) -> None:
        """Have the whole side table here."""
        ...

    def check_table(self) -> None:
        """Have the whole side table here, of the SHA-256 in the index; a file is read once a process, and when changed.

        Raises:
            DataError: it is damaged.
        """
        ...

    def prefetch(self, numbers: Sequence[int]) -> None:
        """Say which shards are needed soon, in order; returns at once. The last word counts."""
        ...

    def refetch(self, number: int) -> bool:
        """Replace a shard by a fresh copy; False where there is no other copy."""
        ...

    def original(self, number: int) -> memoryview:
        """The bytes of a shard as they are where the dataset lies, past any cache; errors as of `shard`."""
        ...


@dataclass(frozen=True)
class _Version:
    """A file as it is at one time."""

    path: Path
    size: int
    changed_ns: int
    inode: int


def check_table(path: Path, sha256: str, *, hint: str) -> None:
    """Compare a table with its SHA-256 in the index; DataError where it differs."""
    status = os.stat(path)
    if _sha256(_Version(path, status.st_size, status.st_mtime_ns, status.st_ino)) != sha256:
        raise DataError(f"{path} is damaged: its SHA-256 is not the one in the index", hint=hint)


@lru_cache(maxsize=64)
def _sha256(file: _Version) -> str:
    with file.path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class LocalFiles:
    """The dataset's own folder: nothing to fetch, nothing to fetch again."""

    remote = False

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        self.folder = folder
        self.location = str(folder)
        self._catalog = catalog

    def shard(self, number: int) -> Path:
        """The shard's file, of the right size: a truncated file under a memory map would end the process.

        Raises:
            ShardCorrupt: it is absent or of another size.
        """
        path = self.folder / self._catalog.name(number)
        try:
            size = os.stat(path).st_size
        except OSError as error:
            raise self._catalog.corrupt(number, f"cannot be read: {error.strerror}") from error
        if size != self._catalog.size(number):
            raise self._catalog.corrupt(number, f"has {size} bytes, {self._catalog.size(number)} expected")
        return path

    def ensure(self, numbers: Sequence[int]) -> None:
        """Nothing to do: what is here is here."""

    def ensure_table(self) -> None:
        """Nothing to do."""

    def check_table(self) -> None:
        """Compare the table's SHA-256 with the index; DataError where it differs."""
        hint = f"orchestrator data verify {self.location} says which rows; copy it again, or build the dataset again"
        check_table(self.folder / TABLE_FILE, self._catalog.header.table.sha256, hint=hint)

    def prefetch(self, numbers: Sequence[int]) -> None:
        """Nothing to do: the kernel reads ahead."""

    def refetch(self, number: int) -> bool:
        """False: there is no other copy."""
        return False

    def original(self, number: int) -> memoryview:
        """The shard's file, mapped."""
        with self.shard(number).open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
