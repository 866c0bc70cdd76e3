"""Fetching one object into the cache: resumed where it was cut off, checked, and only then given its name."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orchestrator.base.clock import Clock, SystemClock
from orchestrator.base.errors import DataError, RemoteUnavailable
from orchestrator.base.files import read_json
from orchestrator.base.paths import CACHE_BYTES_VARIABLE, CACHE_VARIABLE
from orchestrator.data.remote.cache import Cache, described
from orchestrator.data.remote.errors import ObjectChanged
from orchestrator.data.remote.retry import Attempts
from orchestrator.data.remote.settings import RemoteSettings
from orchestrator.data.remote.storage import ObjectState, Storage

_HASHED_AT_ONCE = 1 << 22
_TIMES = 2


class WrongSize(DataError):
    """The object has another size than the index says."""


@dataclass(frozen=True)
class Wanted:
    """One object: its name, what messages call it, and the size and SHA-256 that the index gives it."""

    name: str
    what: str
    size: int
    sha256: bytes


class Transfer:
    """Fetches objects of one remote folder into the cache. Whoever calls holds the lock of the target."""

    def __init__(self, storage: Storage, cache: Cache, settings: RemoteSettings, clock: Clock | None = None) -> None:
        self.storage = storage
        self.clock = clock or SystemClock()
        self._cache = cache
        self._settings = settings

    def attempts(self, what: str) -> Attempts:
        """Fresh patience for an object."""
        return Attempts(what, self._settings.patience, self.clock)

    def fetch(self, wanted: Wanted, target: Path, part: Path) -> Path:
        """Fetch an object to `target`, through the partial file `part` that is this thread's (see turns.py).

        Returns:
            `target`; or, where what came had the right size and twice the wrong SHA-256, `<target>.damaged`.

        Raises:
            ObjectMissing: it is not there.
            WrongSize: it has another size.
            RemoteUnavailable: it cannot be fetched now.
            UsageError: the cache is smaller than the object.
        """
        for time in range(1, _TIMES + 1):
            attempts = self.attempts(wanted.what)
            state = self.check_size(wanted, attempts)
            if not _resumable(part, state):
                part.unlink(missing_ok=True)
            self._cache.reserve(part, wanted.size, state.tag, seconds=self._settings.patience.stalled_seconds)
            try:
                with _telling_of_full_disks(part), part.open("ab") as file:
                    self._fill(file, wanted, attempts)
                    os.fsync(file.fileno())
            except ObjectChanged:
                part.unlink(missing_ok=True)
                continue
            if file_sha256(part) == wanted.sha256:
                self._cache.rename(part, target)
                _forget(_damaged(target))
                return target
            if time == _TIMES:
                os.replace(described(part), described(_damaged(target)))
                self._cache.rename(part, _damaged(target))
                return _damaged(target)
            part.unlink()
        raise RemoteUnavailable(f"{wanted.what} changes while it is fetched", hint="wait until it is published whole")

    def read(self, wanted: Wanted, start: int, stop: int, attempts: Attempts) -> bytes:
        """Bytes `start` to `stop` of an object, tried until they come."""
        return attempts.run(lambda: self.storage.read(wanted.name, start, stop))

    def download(self, wanted: Wanted, file: IO[bytes]) -> None:
        """Fetch an object into a file past the cache, whatever its digest; errors as of `fetch`."""
        attempts = self.attempts(wanted.what)
        self.check_size(wanted, attempts)
        self._fill(file, wanted, attempts)

    def check_size(self, wanted: Wanted, attempts: Attempts) -> ObjectState:
        """The object as it is now, of the size that the index gives it; errors as of `fetch`."""
        state = attempts.run(lambda: self.storage.state(wanted.name))
        if state.size != wanted.size:
            raise WrongSize(f"has {state.size} bytes, {wanted.size} expected")
        return state

    def unchanged(self, wanted: Wanted, description: Path) -> bool:
        """Whether the object is still the one that a local file is described as; errors as of `fetch`."""
        state = self.check_size(wanted, self.attempts(wanted.what))
        return read_json(description) == {"tag": state.tag, "size": state.size}

    def _fill(self, file: IO[bytes], wanted: Wanted, attempts: Attempts) -> None:
        position = file.tell()
        while position < wanted.size:
            stop = min(position + self._settings.chunk_bytes, wanted.size)
            file.write(self.read(wanted, position, stop, attempts))
            file.flush()
            position = stop


def file_sha256(path: Path) -> bytes:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASHED_AT_ONCE):
            digest.update(chunk)
    return digest.digest()


@contextlib.contextmanager
def _telling_of_full_disks(part: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise RemoteUnavailable(
            f"the disk of the cache is full: {part}",
            hint=f"free space, set {CACHE_BYTES_VARIABLE} to less, or {CACHE_VARIABLE} to another disk",
        ) from error


def _resumable(part: Path, state: ObjectState) -> bool:
    """Whether a partial file is of the very object that is there now."""
    if not part.exists():
        return False
    begun = read_json(described(part))
    return begun == {"tag": state.tag, "size": state.size} and part.stat().st_size <= state.size


def _damaged(target: Path) -> Path:
    return target.with_name(f"{target.name}.damaged")


def _forget(path: Path) -> None:
    path.unlink(missing_ok=True)
    described(path).unlink(missing_ok=True)
