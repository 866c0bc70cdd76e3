"""Ray's list of jobs: all at once where that is short, one by one where it is long."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from orchestrator.backends.ray.http import TooLong
from orchestrator.backends.ray.rest import RayRest
from orchestrator.base.clock import Clock

Job = Mapping[str, Any]

_LONG_FOR = 300.0
"""Seconds after which a list that was too long is asked for again."""


class JobList:
    """Ray keeps every job that ever ended, with up to 20,000 characters of its log. Threads may share it.

    Args:
        rest: Ray.
        clock: what time it is.
    """

    def __init__(self, rest: RayRest, clock: Clock) -> None:
        self._rest = rest
        self._clock = clock
        self._lock = threading.Lock()
        self._long_until = float("-inf")

    def all(self) -> Sequence[Job] | None:
        """All of it; None where it is too long.

        Raises:
            BackendUnavailable: Ray does not answer.
        """
        with self._lock:
            if self._clock.monotonic() < self._long_until:
                return None
        try:
            return self._rest.jobs()
        except TooLong:
            with self._lock:
                self._long_until = self._clock.monotonic() + _LONG_FOR
            return None

    def named(self, names: Collection[str], rows: Sequence[Job] | None) -> dict[str, Job]:
        """Those of these names that Ray knows.

        Args:
            names: under which they were submitted.
            rows: all of the list; None: it is too long.

        Raises:
            BackendUnavailable: Ray does not answer.
        """
        if rows is not None:
            return {str(row["submission_id"]): row for row in rows if row.get("submission_id") in names}
        found = {name: self._rest.job(name) for name in names}
        return {name: row for name, row in found.items() if row is not None}
