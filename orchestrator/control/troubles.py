"""Trouble with one job that nobody foresaw: it is logged and told, and the other jobs do not pay for it."""

from __future__ import annotations

import logging
from collections.abc import Collection

from orchestrator.base.text import one_line
from orchestrator.control.readable import readable
from orchestrator.control.site import Site
from orchestrator.store import events, jobs

_LOG = logging.getLogger(__name__)


class Troubles:
    """Jobs that the last look at went wrong; their reason says so until one goes well."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._told: dict[str, str] = {}

    def __contains__(self, job: object) -> bool:
        """Whether the last look at a job went wrong."""
        return job in self._told

    def met(self, job: str, error: Exception) -> None:
        """A look at a job, or its start, raised this."""
        reason = f"in trouble, tried again in the next pass: {type(error).__name__}: {one_line(str(error), 500)}"
        if self._told.get(job) == reason:
            return
        _LOG.error("job %s: %s", job, reason, exc_info=error)
        self._write(job, reason)
        self._told[job] = reason

    def over(self, job: str) -> None:
        """It went well; the job gets back the reason of its last move unless it has a newer one."""
        if (told := self._told.pop(job, None)) is None:
            return
        with self._site.store.read() as connection:
            found = readable(connection, [job]).jobs.get(job)
            if found is None or found.reason != told:
                return
            reason = events.newest_message(connection, job, "state") or "queued"
        self._write(job, reason)

    def forget(self, keep: Collection[str]) -> None:
        """All but these are looked at no more."""
        for job in self._told.keys() - set(keep):
            self.over(job)

    def _write(self, job: str, reason: str) -> None:
        with self._site.commit("trouble") as connection:
            jobs.set_reasons(connection, {job: reason}, jobs.states(connection, [job])[job])
