"""`Learning`: jobs that wait are estimated anew from what ended runs have measured, beside the intake of events.

It takes as long as a second, and works on what foreign code wrote: a run's end is committed long before, the store is
not locked meanwhile, and what goes wrong here is logged and costs nothing but newer estimates.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from orchestrator.base.errors import Fenced, StoreError
from orchestrator.control.measuring import Expected, keep, work_of_document
from orchestrator.control.site import Site
from orchestrator.lifecycle.states import JobState
from orchestrator.planning.estimate import forecast_or_none
from orchestrator.planning.history import measured
from orchestrator.store import jobs, measurements
from orchestrator.store.records import RunRecord

_LOG = logging.getLogger(__name__)

MOST_REFRESHED = 50
"""Queued jobs whose estimates follow what runs have taught, the first ones of each device."""


class Learning:
    """What runs of this server's time have taught.

    Args:
        site: its store knows measurements and works.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._ended: set[str] = set()
        self._known: dict[str, tuple[int, float, float]] = {}
        self._told: set[str] = set()

    def seen(self, before: RunRecord, after: RunRecord) -> None:
        """A run's events were taken in; if that was its end, the next `follow` learns from it."""
        if after.state.terminal and not before.state.terminal:
            self._ended.add(after.id)

    def follow(self) -> None:
        """Estimate anew what waits for the devices that ended runs have measured: once for all that came since.

        Jobs that have done some of their work keep their estimate: that work is counted in it.

        Raises:
            Fenced: another server has taken the store over.
            StoreError: the store cannot be written.
        """
        ended, self._ended = self._ended, set()
        if not ended:
            return
        with self._site.store.read() as connection:
            devices = {device for run in ended for device in measurements.devices(connection, run)}
            stamps = {device: measurements.stamp(connection, device) for device in sorted(devices)}
        for device, stamp in stamps.items():
            if self._known.get(device) != stamp:
                self._known[device] = stamp
                self._guarded(device)

    def _guarded(self, device: str) -> None:
        try:
            self._refresh(device)
        except (Fenced, StoreError):
            raise
        except Exception as error:
            what = f"{device}: {type(error).__name__}"
            if what not in self._told:
                self._told.add(what)
                _LOG.exception("jobs that wait for %s keep their estimates: what was measured cannot be used", device)

    def _refresh(self, device: str) -> None:
        with self._site.store.read() as connection:
            waiting = measurements.waiting(connection, device, limit=MOST_REFRESHED)
            history = measured(connection, device) if waiting else ()
        works = {job: work for job, document in waiting if (work := work_of_document(document)) is not None}
        estimates = {job: forecast_or_none(work, history, device) for job, work in works.items()}
        found = {job: Expected(one, device, works[job]) for job, one in estimates.items() if one is not None}
        if found:
            self._write(found)

    def _write(self, found: Mapping[str, Expected]) -> None:
        """Those that nobody has started, held or cancelled meanwhile."""
        with self._site.commit("learned") as connection:
            for job, record in jobs.get_many(connection, found).items():
                if record.state is JobState.QUEUED and not record.worked:
                    jobs.set_columns(connection, record, **found[job].columns)
                    keep(connection, job, found[job])
