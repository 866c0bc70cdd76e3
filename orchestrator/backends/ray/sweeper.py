"""Jobs of ours that are over are deleted from Ray, in the background, so that its list does not grow for ever."""

from __future__ import annotations

import logging
import threading
import time
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

    What watches a job in Ray looks every second, and writes down one that was deleted before it has seen the end as
    failed. So there is a pause before a job is deleted, and another one before it is looked at again.

    Args:
        rest: Ray.
        pause: seconds.
    """

    def __init__(self, rest: RayRest, *, pause: float) -> None:
        self._rest = rest
        self._pause = pause
        self._changed = threading.Condition()
        self._waiting: deque[tuple[float, Record]] = deque(maxlen=_LONGEST)
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(self, record: Record) -> None:
        """Have Ray forget a job in a while."""
        with self._changed:
            self._waiting.append((time.monotonic() + self._pause, record))
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._work, name="ray-sweeper", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Wait for what is just being done, and begin nothing more."""
        with self._changed:
            self._closed, thread = True, self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while (record := self._next()) is not None:
            try:
                if self._is_forgotten(record):
                    continue
            except (BackendUnavailable, OSError) as error:
                _LOG.info("Ray keeps job %s for now: %s", record.allocation, error)
            self.add(record)

    def _next(self) -> Record | None:
        """The first whose time has come; None where there is none any more."""
        with self._changed:
            if self._waiting:
                due = self._waiting[0][0]
                self._changed.wait_for(lambda: self._closed, max(0.0, due - time.monotonic()))
            if self._closed or not self._waiting:
                self._thread = None
                return None
            return self._waiting.popleft()[1]

    def _is_forgotten(self, record: Record) -> bool:
        """Whether Ray does not know a job any more; where it does, it is deleted now.

        What a driver has written that could not even open its own log is kept first.
        """
        if self._rest.job(record.allocation) is None:
            return True
        if not has_word(record) and not record.files.ray_log.exists() and record.files.run.logs.is_dir():
            create_exclusive(record.files.ray_log, self._rest.logs(record.allocation).encode())
        self._rest.delete(record.allocation)
        return False
