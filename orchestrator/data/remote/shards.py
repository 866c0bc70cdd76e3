"""The shards of a remote dataset: in the node's cache, or fetched into it, once for all processes of the node."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orchestrator.base.errors import ShardCorrupt
from orchestrator.data.catalog import Catalog
from orchestrator.data.files import check_table
from orchestrator.data.remote.ahead import ReadAhead
from orchestrator.data.remote.cache import Cache, VersionFolder, described, telling_of_the_cache
from orchestrator.data.remote.errors import ObjectChanged, ObjectMissing
from orchestrator.data.remote.settings import RemoteSettings
from orchestrator.data.remote.sidetable import SideTable
from orchestrator.data.remote.transfer import Transfer, Wanted, WrongSize, file_sha256
from orchestrator.data.remote.turns import turn


class RemoteFiles:
    """ShardFiles of a remote dataset.

    Args:
        folder: of the dataset version in the cache.
        catalog: its shards.
        table: its side table, open.
        transfer: fetches.
        cache: where the folder is.
        settings: threads, patience, share of the room.
    """

    remote = True

    def __init__(
        self,
        folder: VersionFolder,
        catalog: Catalog,
        table: SideTable,
        transfer: Transfer,
        cache: Cache,
        settings: RemoteSettings,
    ) -> None:
        self._version = folder  # keeps its lock
        self.folder = folder.path
        self.location = catalog.location
        self._catalog = catalog
        self._table = table
        self._transfer = transfer
        self._settings = settings
        self._ahead_budget = cache.bound // 2 // settings.processes
        self._ahead: tuple[int, ReadAhead] | None = None
        self._hopeless: dict[int, str] = {}
        self._damaged: dict[int, Path] = {}
        self._fetched_again: set[int] = set()

    def __del__(self) -> None:
        if self._ahead is not None and self._ahead[0] == os.getpid():
            self._ahead[1].stop()

    def shard(self, number: int) -> Path:
        """The shard's file in the cache, fetched first where it is not there.

        A shard that arrives with a wrong SHA-256 is fetched once more; then it is handed out damaged as it is, and the
        checksums of its records tell which rows are.

        Raises:
            ShardCorrupt: it is absent or of another size where it comes from.
            RemoteUnavailable: it cannot be fetched now.
            UsageError: the whole cache is smaller.
        """
        path = self._have(number)
        if self._ahead is not None and self._ahead[0] == os.getpid():
            self._ahead[1].taken(number)
        return path

    def ensure(self, numbers: Sequence[int]) -> None:
        """Have these shards and their records here; several are fetched at once."""
        new = [number for number in numbers if not self._is_here(number)]
        if len(new) < 2:
            for number in new:
                self._have(number)
            return
        with ThreadPoolExecutor(min(self._settings.threads, len(new))) as pool:
            list(pool.map(self._have, new))

    def ensure_table(self) -> None:
        """Have the whole side table here."""
        self._table.fetch_rest(self._catalog)

    def check_table(self) -> None:
        """Have the whole side table here; DataError where the cache's copy is not the one in the index."""
        self.ensure_table()
        hint = f"delete the cache's copy, and it is fetched again: rm -r {self.folder}"
        check_table(self._table.path, self._catalog.header.table.sha256, hint=hint)

    def prefetch(self, numbers: Sequence[int]) -> None:
        """Fetch these in the background, in order, never more than half of the cache ahead."""
        self._read_ahead().want(numbers)

    def refetch(self, number: int) -> bool:
        """Fetch a shard and its records again, once in the life of this object.

        Where another process has replaced the shard meanwhile, only the records are fetched.
        """
        if number in self._fetched_again or number in self._damaged or number in self._hopeless:
            return False
        self._fetched_again.add(number)
        path = self.folder / self._catalog.name(number)
        with telling_of_the_cache(), self._held(number):
            if path.exists() and file_sha256(path) != self._catalog.sha256(number):
                path.unlink()
            self._table.fetch(number, self._catalog)
        self._have(number)
        return True

    def original(self, number: int) -> memoryview:
        """The bytes of a shard as they are in the store, through a nameless file beside the cache's own."""
        with tempfile.TemporaryFile(dir=self.folder) as file:
            with self._named(number):
                self._transfer.download(self._wanted(number), file)
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def _is_here(self, number: int) -> bool:
        return self._table.has(number) and self._whole(number) is not None

    def _whole(self, number: int) -> Path | None:
        """The shard's file if it is in the cache, marked as just used."""
        path = self.folder / self._catalog.name(number)
        try:
            if os.stat(path).st_size != self._catalog.size(number):
                return None
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def _have(self, number: int) -> Path:
        if number in self._hopeless:
            raise self._catalog.corrupt(number, self._hopeless[number])
        path = self._whole(number)
        if path is not None and self._table.has(number):
            return path
        if number in self._damaged and self._damaged[number].exists():
            return self._damaged[number]
        with telling_of_the_cache(), self._held(number) as part, self._named(number):
            if not self._table.has(number):
                self._table.fetch(number, self._catalog)
            return self._whole(number) or self._known_damaged(number) or self._fetch(number, part)

    def _fetch(self, number: int, part: Path) -> Path:
        path = self.folder / self._catalog.name(number)
        path.unlink(missing_ok=True)  # of a wrong size: somebody has written to the cache
        got = self._transfer.fetch(self._wanted(number), path, part)
        if got != path:
            self._damaged[number] = got
        return got

    def _known_damaged(self, number: int) -> Path | None:
        """The damaged copy that another process has fetched, if the store still has the very same object."""
        path = self.folder / f"{self._catalog.name(number)}.damaged"
        if not path.exists() or path.stat().st_size != self._catalog.size(number):
            return None
        if self._transfer.unchanged(self._wanted(number), described(path)):
            self._damaged[number] = path
            return path
        return None

    def _wanted(self, number: int) -> Wanted:
        what = f"shard {self._catalog.url(number)} ({self._catalog.rows(number)})"
        name, size = self._catalog.name(number), self._catalog.size(number)
        return Wanted(name, what, size, self._catalog.sha256(number))

    def _held(self, number: int) -> contextlib.AbstractContextManager[Path]:
        path = self.folder / self._catalog.name(number)
        return turn(path, self._wanted(number).what, self._settings.patience, self._transfer.clock)

    @contextlib.contextmanager
    def _named(self, number: int) -> Iterator[None]:
        """What is wrong with the object itself is said as damage to the shard, and remembered."""
        try:
            yield
        except ObjectMissing as error:
            raise self._lost(number, "is not there") from error
        except ObjectChanged as error:
            raise self._lost(number, "changes while it is fetched") from error
        except WrongSize as error:
            raise self._lost(number, error.message) from error

    def _lost(self, number: int, what: str) -> ShardCorrupt:
        self._hopeless[number] = what
        return self._catalog.corrupt(number, what)

    def _read_ahead(self) -> ReadAhead:
        if self._ahead is None or self._ahead[0] != os.getpid():  # a fork has no threads
            ahead = ReadAhead(
                _fetcher(self), self._catalog.size, budget=self._ahead_budget, threads=self._settings.threads
            )
            self._ahead = os.getpid(), ahead
        return self._ahead[1]


def _fetcher(files: RemoteFiles) -> Callable[[int], object]:
    """What the threads call; they keep nobody's files open who has let go of them."""
    weak = weakref.ref(files)

    def fetch(number: int) -> None:
        if (alive := weak()) is not None:
            alive.ensure([number])

    return fetch
