"""Which nodes Ray drains: it tells its drivers alone, and those of our runs leave it in their directories."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Mapping, Sequence

from orchestrator.backends.ray.records import Record
from orchestrator.rundir.rayjob import read_draining


class Drains:
    """Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[int, int]] = {}
        self._known: dict[str, tuple[float, str]] = {}

    def hear(self, records: Sequence[Record]) -> None:
        """Take in what drivers have said since the last time; one that has just ended may have said something new."""
        for record in records:
            try:
                status = os.stat(record.files.ray_draining)
            except OSError:
                continue
            version = (status.st_mtime_ns, status.st_ino)
            with self._lock:
                news = self._seen.get(record.allocation) != version
            if news and (told := read_draining(record.files)) is not None:
                self._take(record.allocation, version, told)

    def of(self, alive: Collection[str], running: Collection[str]) -> Mapping[str, float]:
        """When each node that Ray drains shall be empty, in seconds since the epoch, by its identifier.

        One of which no driver speaks any more is drained as long as it is there: Ray takes no drain back.

        Args:
            alive: identifiers of the nodes that are there; one that comes back has another.
            running: allocations that are not over.
        """
        with self._lock:
            self._known = {node: said for node, said in self._known.items() if node in alive}
            self._seen = {name: version for name, version in self._seen.items() if name in running}
            return {node: until for node, (until, _) in self._known.items()}

    def _take(self, allocation: str, version: tuple[int, int], told: Mapping[str, float]) -> None:
        with self._lock:
            self._seen[allocation] = version
            gone = [node for node, (_, by) in self._known.items() if by == allocation and node not in told]
            for node in gone:  # by the word of the driver that said so before
                del self._known[node]
            self._known |= {node: (until, allocation) for node, until in told.items()}
