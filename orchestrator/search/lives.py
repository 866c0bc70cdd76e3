"""Which workers of an array live: each says so in a file of its own, and who falls silent has died.

No clock is compared with another machine's: who looks counts, by its own clock, how long a beat has not changed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.base.files import read_json, write_json
from orchestrator.base.process import ProcessIdentity
from orchestrator.rundir.allocations import boot_id

_BEAT_SECONDS = 5.0
LOST_AFTER = 60.0


class Life:
    """This worker's own file, with a beat in it.

    Args:
        folder: of all workers' files.
        worker: its number, unique in the run.
    """

    def __init__(self, folder: Path, worker: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{worker}.json"
        self._about = {"where": _where(), "process": ProcessIdentity.current().to_json()}
        self._over = threading.Event()
        self._write(0)
        self._thread = threading.Thread(target=self._beat, name="beat", daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Say that nothing is to be expected of this worker any more."""
        self._over.set()
        self._thread.join()
        write_json(self._path, self._about | {"gone": True}, durable=False)

    def _beat(self) -> None:
        beat = 0
        while not self._over.wait(_BEAT_SECONDS):
            beat += 1
            self._write(beat)

    def _write(self, beat: int) -> None:
        try:
            write_json(self._path, self._about | {"beat": beat}, durable=False)
        except OSError:  # a disk that is full or away for a moment: the next beat may succeed
            return


class Lives:
    """What one worker sees of all.

    Args:
        folder: of all workers' files.
        lost_after: seconds of silence after which a worker counts as dead.
        now: a monotonic clock.
    """

    def __init__(
        self, folder: Path, *, lost_after: float = LOST_AFTER, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder, self._lost_after, self._now = folder, lost_after, now
        self._seen: dict[int, tuple[Any, float]] = {}

    def gone(self, worker: int) -> bool:
        """Whether it has left in good order."""
        return bool((self._read(worker) or {}).get("gone"))

    def lives(self, worker: int) -> bool:
        """Whether it can be expected to go on."""
        about = self._read(worker)
        if about is None or about.get("gone"):
            return False
        if about["where"] == _where() and not ProcessIdentity.from_json(about["process"]).alive():
            return False
        beat, since = self._seen.get(worker, (None, 0.0))
        if beat != about["beat"]:
            beat, since = self._seen[worker] = about["beat"], self._now()
        return self._now() - since < self._lost_after

    def _read(self, worker: int) -> dict[str, Any] | None:
        return read_json(self._folder / f"{worker}.json")


def _where() -> str:
    """Where a process number means the same: this boot of this machine, and this container."""
    return f"{boot_id()}/{os.readlink('/proc/self/ns/pid')}"
