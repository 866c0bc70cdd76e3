"""While the engine does not answer, what it runs is unknown: the reasons say so, and nothing else changes."""

from __future__ import annotations

import logging

from orchestrator.base.errors import BackendUnavailable
from orchestrator.base.text import one_line
from orchestrator.control.site import Site
from orchestrator.lifecycle.reasons import engine_silent
from orchestrator.lifecycle.states import TERMINAL, JobState
from orchestrator.store import jobs

_LOG = logging.getLogger(__name__)

_UNKNOWN = "unknown since "
_ACTIVE = frozenset(JobState) - TERMINAL - {JobState.HELD, JobState.QUEUED}


class Outage:
    """From the first call that was not answered to the first that was.

    Any thread may ask for `told`.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._told = ""
        self._checked = False

    @property
    def told(self) -> str:
        """Since when the engine does not answer, and what it said last; empty where it does."""
        return self._told

    def begin(self, error: BackendUnavailable) -> None:
        """A call was not answered."""
        if self._told:
            return
        since = self._site.clock.now() if error.since is None else error.since
        self._told = reason = engine_silent(self._site.backend.name, since, one_line(error.message, 300)).text
        _LOG.warning("%s", reason)
        with self._site.commit("outage") as connection:
            jobs.set_reason_of_all(connection, _ACTIVE | {JobState.QUEUED}, reason)

    def over(self) -> None:
        """A call was answered; each job gets back the reason of its last move."""
        if not self._told and self._checked:
            return
        with self._site.store.read() as connection:
            silent = jobs.any_reason_begins(connection, _UNKNOWN)
        if silent:
            with self._site.commit("outage over") as connection:
                jobs.restore_reasons(connection, _UNKNOWN)
        if self._told:
            _LOG.info("the engine %s answers again", self._site.backend.name)
        self._told, self._checked = "", True
