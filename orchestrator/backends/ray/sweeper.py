"""Jobs of ours that are over are deleted from Ray, in the background, so that its list does not grow for ever."""

from __future__ import annotations

import logging
import threading
from collections import deque

from orchestrator.backends.ray.records import Record
from orchestrator.backends.ray.rest import RayRest
from orchestrator.backends.ray.states import has_word
from orchestrator.base.errors import BackendUnavailable
from orchestrator.base.files import create_exclusive

_LOG = logging.getLogger(__name__)
_LONGEST = 10_000
"""Jobs that wait for their turn; those beyond are left to Ray."""


class Sweeper:
    """One thread at most, which ends when nothing is left to do.

    Args:
        rest: Ray.
    """

    def __init__(self, rest: RayRest) -> None:
        self._rest = rest
        self._lock = threading.Lock()
        self._waiting: deque[Record] = deque(maxlen=_LONGEST)
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(self, record: Record) -> None:
        """Have Ray forget a job in a moment."""
        with self._lock:
            self._waiting.append(record)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._work, name="ray-sweeper", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Wait for what is just being done, and begin nothing more."""
        with self._lock:
            self._closed, thread = True, self._thread
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while (record := self._next()) is not None:
            try:
                self._forget(record)
            except (BackendUnavailable, OSError) as error:
                _LOG.info("Ray keeps job %s: %s", record.allocation, error)

    def _next(self) -> Record | None:
        with self._lock:
            if self._closed or not self._waiting:
                self._thread = None
                return None
            return self._waiting.popleft()

    def _forget(self, record: Record) -> None:
        """What a driver has written that could not even open its own log is kept first."""
        if not has_word(record) and not record.files.ray_log.exists() and record.files.run.logs.is_dir():
            create_exclusive(record.files.ray_log, self._rest.logs(record.allocation).encode())
        self._rest.delete(record.allocation)
