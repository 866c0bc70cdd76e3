"""The node's cache: a bounded folder that all its processes share, a folder in it for each dataset version.

    <cache>/held.json                                    how many bytes all of it has at most
    <cache>/datasets/<version>/train-00000.arrow          a whole shard; its time is when it was last asked for
                               train-00000.arrow.part     one that is being fetched, or was when its process died
                               train-00000.arrow.4711.part  one that process 4711 fetches beside a process that hangs
                               train-00000.arrow.part.json  its tag and full size: room is taken before it is filled
                               train-00000.arrow.damaged  one that is damaged where it comes from
                               train-00000.arrow.lock     held by whoever fetches it
                               table.bin                  the side table
                               in-use                     held, shared, by all who have the version open

What the cache holds is counted under the cache's lock, from the files themselves whenever it may be full (count.py).
What was asked for longest ago is evicted first, a twentieth of the bound at once. An evicted shard that is mapped stays
readable, since the map keeps the file; ShardMaps lets go of it when it maps the next one.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.clock import Clock
from orchestrator.base.errors import DataError, RemoteUnavailable, UsageError
from orchestrator.base.files import read_json, sync_folder, write_json
from orchestrator.base.paths import CACHE_BYTES_VARIABLE, CACHE_VARIABLE
from orchestrator.data.remote.count import HeldBytes
from orchestrator.data.remote.locks import locked, release, try_lock
from orchestrator.data.remote.turns import lock_of

_log = logging.getLogger(__name__)

DEFAULT_BYTES = 64 * 2**30
TABLE = "table.bin"
_SHARE_OF_FREE = 0.8
_IN_USE = "in-use"
_YOUNG_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_EVICTED_AT_ONCE = 0.05  # of the bound, since all files are looked at for it
_UNUSABLE = {
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTEMPTY,
}


@dataclass(frozen=True)
class Entry:
    """Something in the cache that takes room: `used` is when it was last asked for, in seconds since the epoch."""

    path: Path
    size: int
    used: float


class VersionFolder:
    """The folder of a dataset version that is open; its lock goes with this object.

    Args:
        path: the folder.
        handle: holds the lock.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle
        weakref.finalize(self, os.close, handle)


class Cache:
    """The shared folder.

    Args:
        folder: made where it is absent.
        bound: bytes; None: worked out from the disk.
        clock: for waiting.
    """

    def __init__(self, folder: Path, bound: int | None, clock: Clock) -> None:
        self._datasets = folder / "datasets"
        self._lock_file = folder / "lock"
        self._held = HeldBytes(folder / "held.json")
        self._clock = clock
        self._warned = False
        self._datasets.mkdir(parents=True, exist_ok=True)
        self.bound = _default_bound(self._datasets) if bound is None else bound

    def open_version(self, version: str) -> VersionFolder:
        """The folder of a dataset version, kept from being deleted for as long as the result lives."""
        folder = self._datasets / version
        while True:
            folder.mkdir(exist_ok=True)
            try:
                handle = try_lock(folder / _IN_USE, shared=True)
            except FileNotFoundError:  # evicted between the two
                continue
            if handle is not None:
                return VersionFolder(folder, handle)

    def reserve(self, part: Path, size: int, tag: str, *, seconds: float) -> None:
        """Make room for a file that is to be fetched into `part`, and keep it; its lock must be held.

        Raises:
            UsageError: the whole cache is smaller.
            RemoteUnavailable: there is no room and none can be made.
        """
        if size > self.bound:
            raise UsageError(
                f"the cache of {self.bound:,} bytes is smaller than {part.name.removesuffix('.part')}, {size:,} bytes",
                hint=f"set {CACHE_BYTES_VARIABLE} to more",
            )
        until = self._clock.monotonic() + seconds
        pause = _FIRST_PAUSE_SECONDS
        while not self._reserved(part, size, tag):
            if self._clock.monotonic() > until:
                raise RemoteUnavailable(
                    f"no room for {size:,} bytes in {self._datasets}: {self._why_full(size)}",
                    hint=f"free space, set {CACHE_BYTES_VARIABLE} to more, or {CACHE_VARIABLE} to another disk",
                )
            self._clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def rename(self, part: Path, name: Path) -> None:
        """Give a file that was fetched whole its name, durably; never while somebody counts what the cache holds."""
        with locked(self._lock_file):
            os.replace(part, name)
            described(part).unlink(missing_ok=True)
        sync_folder(name.parent)

    def used(self) -> int:
        """Bytes that are taken or kept for what is being fetched."""
        return sum(entry.size for entry in _entries(self._datasets))

    def _reserved(self, part: Path, size: int, tag: str) -> bool:
        with locked(self._lock_file):
            if not self._make_room(part, size):
                return False
            write_json(described(part), {"tag": tag, "size": size}, durable=False)
            part.touch()  # it counts with its full size from now on
            return True

    def _make_room(self, part: Path, size: int) -> bool:
        """Have room for `size` more bytes, both in the bound and on the disk; more than that is made, if any is."""
        there = part.stat().st_size if part.exists() else 0
        lacking = size - there - shutil.disk_usage(self._datasets).free
        if lacking <= 0 and self._held.add(size, self.bound):
            return True
        entries = sorted(_entries(self._datasets, without=part), key=lambda entry: entry.used)
        held = sum(entry.size for entry in entries)
        missing = max(held + size - self.bound, lacking)
        freed = self._free(entries, missing + int(_EVICTED_AT_ONCE * self.bound)) if missing > 0 else 0
        if freed < missing:
            return False
        self._held.counted(held - freed + size)
        return True

    def _free(self, entries: list[Entry], wanted: int) -> int:
        """Evict entries, the first ones first, until `wanted` bytes are free; how many are."""
        freed = 0
        for entry in entries:
            if freed >= wanted:
                break
            if self._evict(entry):
                freed += entry.size
        return freed

    def _evict(self, entry: Entry) -> bool:
        if entry.path.name == TABLE:
            return _delete_unused(entry.path.parent)
        if entry.path.suffix == ".part":
            return _delete_abandoned(entry.path)
        self._warn_if_young(entry)
        entry.path.unlink(missing_ok=True)
        described(entry.path).unlink(missing_ok=True)
        return True

    def _warn_if_young(self, entry: Entry) -> None:
        if not self._warned and self._clock.now() - entry.used < _YOUNG_SECONDS:
            self._warned = True
            _log.warning(
                "the cache of %s bytes is too small for what is read at once: %s was asked for seconds ago and is "
                "evicted; set %s to more",
                f"{self.bound:,}",
                entry.path.name,
                CACHE_BYTES_VARIABLE,
            )

    def _why_full(self, size: int) -> str:
        free = shutil.disk_usage(self._datasets).free
        return f"{self.used():,} of {self.bound:,} are taken by what is in use, {free:,} are free on the disk"


@contextlib.contextmanager
def telling_of_the_cache() -> Iterator[None]:
    """A folder that cannot be used is named, with the variable that chooses it."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNUSABLE or error.filename is None:
            raise
        raise DataError(
            f"the cache cannot be used: {error.filename}: {error.strerror}",
            hint=f"delete what is in the way, or set {CACHE_VARIABLE} to a folder on a local disk that can be written",
        ) from error


def described(path: Path) -> Path:
    """The small file that says what `path`, a `.part` or `.damaged`, is."""
    return path.with_name(f"{path.name}.json")


def _entries(datasets: Path, without: Path | None = None) -> list[Entry]:
    found = []
    for folder in datasets.iterdir():
        try:
            listing = list(os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for one in listing:
            path = Path(one.path)
            if path != without and path.suffix in {".arrow", ".part", ".damaged", ".bin"}:
                try:
                    status = one.stat()
                except FileNotFoundError:
                    continue
                found.append(Entry(path, _taken(path, status), status.st_mtime))
    return found


def _taken(path: Path, status: os.stat_result) -> int:
    """Bytes that a file takes; all that it will have where it is being fetched, the blocks of a sparse table."""
    if path.suffix == ".part":
        return max(status.st_size, int((read_json(described(path)) or {}).get("size", 0)))
    return status.st_blocks * 512 if path.name == TABLE else status.st_size


def _delete_abandoned(part: Path) -> bool:
    """Delete a partial file unless somebody is fetching it."""
    lock = lock_of(part.with_suffix(""))
    try:
        handle = try_lock(lock)
    except FileNotFoundError:
        return True
    if handle is None:
        return False
    part.unlink(missing_ok=True)
    described(part).unlink(missing_ok=True)
    lock.unlink(missing_ok=True)
    release(handle)
    return True


def _delete_unused(folder: Path) -> bool:
    """Delete a version's folder unless somebody has it open."""
    try:
        handle = try_lock(folder / _IN_USE)
    except FileNotFoundError:
        return True
    if handle is None:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    release(handle)
    return True


def _default_bound(datasets: Path) -> int:
    held = sum(entry.size for entry in _entries(datasets))
    return min(DEFAULT_BYTES, int(_SHARE_OF_FREE * (shutil.disk_usage(datasets).free + held)))
