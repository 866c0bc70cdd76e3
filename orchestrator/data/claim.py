"""Takes a folder for one build: the marker in it tells what an interrupted build left from what is somebody else's."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import IO

from orchestrator.base.errors import Conflict
from orchestrator.spec.placement import INDEX_FILE

_MARKER = ".building"
_BUILT = ".built"
_ENTRIES = ".parts"
_WORKERS_END = 2.0
"""Seconds that a build which was killed may hold its folder until its last process is gone."""


class Claim:
    """A folder that is ours for as long as this is not released; two builds of one folder exclude each other.

    Args:
        root: the folder; made where it is absent.
        source: digest of what is built; what an earlier build of the same left is kept, of another one deleted.
            Empty: nothing is kept.

    Raises:
        Conflict: there is a finished dataset, files of somebody else, or another process that builds here.
    """

    def __init__(self, root: Path, source: str = "") -> None:
        refuse_finished(root)
        root.mkdir(parents=True, exist_ok=True)
        self._root = root
        self._marker = root / _MARKER
        left = [path for path in root.iterdir() if path != self._marker]
        if left and not self._marker.exists():
            raise Conflict(f"{root} is not empty: it holds {left[0].name}", hint="build into a new folder")
        self._file = _locked(self._marker)
        if not self._marker.exists():  # that build ended while we waited for its marker
            self._file.close()
            refuse_finished(root)
            raise Conflict(f"another process builds {root} at this moment", hint="wait for it, or build elsewhere")
        self.resumed = bool(source) and self._marker.read_text(errors="replace") == source
        if not self.resumed:
            self.keep_only(set())
            self._mark(source)
        self.entries.mkdir(exist_ok=True)

    @property
    def entries(self) -> Path:
        """The folder of the entry files of parts that are finished."""
        return self._root / _ENTRIES

    def keep_only(self, files: set[Path]) -> None:
        """Delete everything else, such as temporary files that a killed process left."""
        for path in (*self._root.iterdir(), *(self.entries.iterdir() if self.entries.exists() else ())):
            if path not in files and path not in (self._marker, self.entries):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def start_over(self) -> None:
        """Let the next build keep nothing of this one."""
        self._mark("")

    def finish(self) -> None:
        """The dataset is whole: remove what only its build needed; what it was built from stays known."""
        shutil.rmtree(self.entries, ignore_errors=True)
        if self._marker.stat().st_size:
            self._marker.rename(self._root / _BUILT)
        else:
            self._marker.unlink()
        self.release()

    def release(self) -> None:
        """Let others build here; what is finished stays for them."""
        self._file.close()

    def _mark(self, source: str) -> None:
        self._file.truncate(0)
        self._file.write(source)
        self._file.flush()
        os.fsync(self._file.fileno())


def built_from(root: Path) -> str:
    """Digest of what the dataset in a folder was built from; empty where nobody knows."""
    known = next((root / name for name in (_BUILT, _MARKER) if (root / name).is_file()), None)
    return known.read_text(errors="replace") if known is not None else ""


def refuse_finished(root: Path) -> None:
    """Refuse a folder that holds a dataset.

    Raises:
        Conflict: it does.
    """
    if (root / INDEX_FILE).exists():
        raise Conflict(f"{root} already holds a dataset", hint="delete it first, or build into another folder")


def _locked(marker: Path) -> IO[str]:
    file = marker.open("a")
    end = time.monotonic() + _WORKERS_END
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > end:
                file.close()
                raise Conflict(
                    f"another process builds {marker.parent} at this moment", hint="wait for it, or build elsewhere"
                ) from None
            time.sleep(0.05)
