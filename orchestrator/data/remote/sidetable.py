"""The local copy of a remote side table: whole, or, of billions of rows, a sparse file that is filled shard by shard.

A sparse table has `table.have` beside it, a byte for each shard: 1 once the records of the shard are on the disk. When
all are, the whole is compared with the index and `table.have` goes. A bit that flips on the way into a sparse table is
found by the checksum of the record it belongs to, as in the shard itself.
"""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np

from orchestrator.base.errors import DataError
from orchestrator.base.files import sync_folder, write_atomic
from orchestrator.data.catalog import Catalog
from orchestrator.data.header import Header, check_version
from orchestrator.data.remote.cache import described
from orchestrator.data.remote.errors import ObjectChanged, ObjectMissing
from orchestrator.data.remote.settings import RemoteSettings
from orchestrator.data.remote.transfer import Transfer, Wanted, WrongSize, file_sha256
from orchestrator.data.remote.turns import turn
from orchestrator.data.schema import Schema
from orchestrator.data.table import TABLE_FILE, head_bytes, record_type, shard_table

_log = logging.getLogger(__name__)
_HINT = "publish the dataset again from a whole copy: what is damaged is uploaded anew"


class SideTable:
    """The table of one dataset version in the cache.

    Args:
        folder: of the version.
        header: the dataset's index.
        transfer: fetches it.
        settings: up to which size it is fetched whole, and how.
    """

    def __init__(self, folder: Path, header: Header, transfer: Transfer, settings: RemoteSettings) -> None:
        self.path = folder / TABLE_FILE
        self._header = header
        self._transfer = transfer
        self._settings = settings
        self._chunk = settings.chunk_bytes
        self._shards = sum(part.shards for part in header.splits.values())
        self._record_bytes = record_type(Schema.of(header.columns)).itemsize
        self._have_path = folder / "table.have"
        self._have: mmap.mmap | None = None
        self._wanted = Wanted(
            TABLE_FILE,
            f"the side table {transfer.storage.place.url}/{TABLE_FILE}",
            header.table.bytes,
            bytes.fromhex(header.table.sha256),
        )

    def open(self) -> None:
        """Have the table here, or its shard table at least; verified.

        Raises:
            DataError: it is absent or damaged, and so is the dataset.
            RemoteUnavailable: it cannot be fetched now.
        """
        with self._held() as part:
            if not self._is_here():
                if self._wanted.size <= self._settings.whole_table_bytes:
                    self._fetch_whole(part)
                else:
                    self._begin_sparse()
            if self._have_path.exists():
                with self._have_path.open("r+b") as file:
                    self._have = mmap.mmap(file.fileno(), 0)

    def mend_head(self) -> None:
        """Fetch preamble and shard table anew, into the file that others of this node may have mapped.

        Raises:
            DataError: they are damaged where they come from.
            RemoteUnavailable: they cannot be fetched now.
        """
        with self._held():
            head = self._fetch_head()
            with self.path.open("r+b") as file:
                os.pwrite(file.fileno(), head, 0)
                os.fsync(file.fileno())
        _log.warning("%s was damaged in the cache, and is mended", self.path)

    def has(self, shard: int) -> bool:
        """Whether the records of a shard are here."""
        return self._have is None or self._have[shard] == 1

    def fetch(self, shard: int, catalog: Catalog) -> None:
        """Fetch the records of a shard, also where they are here already: they may be damaged. Its lock is held.

        A whole table that still has its SHA-256 is left alone.
        """
        small = self._wanted.size <= self._settings.whole_table_bytes
        if self._have is None and small and file_sha256(self.path) == self._wanted.sha256:
            return
        first, stop = catalog.records(shard)
        self._fetch_records(first, stop)
        if self._have is not None:
            self._have[shard] = 1

    def fetch_rest(self, catalog: Catalog) -> None:
        """Have the whole table here, and verified as a whole.

        Raises:
            DataError: it is not the one in the index.
            RemoteUnavailable: it cannot be fetched now.
        """
        have = self._have
        if have is None:
            return
        with self._held():
            if self._have_path.exists():
                self._fetch_missing(have, catalog)
                if file_sha256(self.path) != self._wanted.sha256:
                    have[:] = bytes(len(have))
                    raise DataError(f"{self._wanted.what} is not the one in the index", hint=_HINT)
                self._have_path.unlink(missing_ok=True)
            self._have = None

    def _held(self) -> AbstractContextManager[Path]:
        return turn(self.path, self._wanted.what, self._settings.patience, self._transfer.clock)

    def _is_here(self) -> bool:
        return self.path.exists() and self.path.stat().st_size == self._wanted.size

    def _fetch_whole(self, part: Path) -> None:
        with _telling_of_damage(self._wanted):
            got = self._transfer.fetch(self._wanted, self.path, part)
        if got != self.path:
            got.unlink()
            described(got).unlink(missing_ok=True)
            raise DataError(f"{self._wanted.what} is not the one in the index, twice", hint=_HINT)
        self._have_path.unlink(missing_ok=True)

    def _fetch_head(self) -> bytes:
        size = head_bytes(self._shards)
        attempts = self._transfer.attempts(self._wanted.what)
        with _telling_of_damage(self._wanted):
            self._transfer.check_size(self._wanted, attempts)
            head = b"".join(
                self._transfer.read(self._wanted, start, min(start + self._chunk, size), attempts)
                for start in range(0, size, self._chunk)
            )
        try:
            check_version(self._header, shard_table(head, self._shards), self._transfer.storage.place.url)
        except DataError as error:
            raise DataError(error.message, hint=_HINT) from error
        return head

    def _begin_sparse(self) -> None:
        head = self._fetch_head()
        begun = self.path.with_name(f".{self.path.name}.{os.getpid()}.new")
        with begun.open("wb") as file:
            file.write(head)
            file.truncate(self._wanted.size)
            file.flush()
            os.fsync(file.fileno())
        if self._is_here():  # another process, which saw no progress here, has begun it and filled some of it
            begun.unlink()
            return
        write_atomic(self._have_path, bytes(self._shards))
        os.replace(begun, self.path)
        sync_folder(self.path.parent)

    def _fetch_missing(self, have: mmap.mmap, catalog: Catalog) -> None:
        flags = np.frombuffer(have[:], dtype=np.uint8)
        missing = np.flatnonzero(flags == 0)
        size = int(catalog.shards["rows"][missing].sum()) * self._record_bytes
        _log.info("fetching the rest of %s, %s bytes", self._wanted.what, f"{size:,}")
        for run in np.split(missing, np.flatnonzero(np.diff(missing) != 1) + 1):
            if run.size:
                first, last = int(run[0]), int(run[-1])
                self._fetch_records(catalog.records(first)[0], catalog.records(last)[1])
                have[first : last + 1] = b"\1" * run.size
                _log.info("fetched the records of shards %d to %d of %d", first, last, self._shards)

    def _fetch_records(self, first: int, stop: int) -> None:
        base = head_bytes(self._shards)
        begin, end = base + first * self._record_bytes, base + stop * self._record_bytes
        attempts = self._transfer.attempts(self._wanted.what)
        with self.path.open("r+b") as file, _telling_of_damage(self._wanted):
            for start in range(begin, end, self._chunk):
                content = self._transfer.read(self._wanted, start, min(start + self._chunk, end), attempts)
                os.pwrite(file.fileno(), content, start)
            os.fsync(file.fileno())


@contextmanager
def _telling_of_damage(wanted: Wanted) -> Iterator[None]:
    """A table that is absent or another one is damage to the dataset, and to no single shard."""
    try:
        yield
    except (ObjectMissing, ObjectChanged, WrongSize) as error:
        raise DataError(f"{wanted.what}: {error.message}", hint=_HINT) from error
