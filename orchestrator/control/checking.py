"""`Checking`: what was queued while the engine did not say what it has is checked before it is handed over."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.backends.protocol import Capacity
from orchestrator.base.errors import BackendUnavailable, Fenced, SpecError, StoreError, UsageError
from orchestrator.base.text import one_line
from orchestrator.control.demands import needs_of
from orchestrator.control.measuring import Expected, expected_of, memory_default
from orchestrator.control.site import Site
from orchestrator.control.starts import Starts
from orchestrator.control.troubles import Troubles
from orchestrator.lifecycle.reasons import duration
from orchestrator.lifecycle.states import JobState
from orchestrator.planning.check import check_room, cores_per_worker, slots_per_worker
from orchestrator.planning.devices import device_of
from orchestrator.planning.launch import is_search
from orchestrator.spec.workload import Workload
from orchestrator.store import jobs
from orchestrator.store.jobs import OpenJob, Stale

_LOG = logging.getLogger(__name__)

_AT_ONCE = 100
"""Jobs that are checked in one pass."""
_SURE = 90.0
"""Seconds for which a job must not fit before it fails: nodes come back, and an engine may count them once a minute."""
_LONGEST = 500


class Checking:
    """Checks them, once each.

    Args:
        site: where.
        starts: fail what can never start.
        troubles: tell what nobody foresaw.
    """

    def __init__(self, site: Site, starts: Starts, troubles: Troubles) -> None:
        self._site = site
        self._starts = starts
        self._troubles = troubles
        self._doubted: dict[str, float] = {}

    def passed(self, ready: Sequence[OpenJob]) -> tuple[list[OpenJob], bool]:
        """Those of some jobs that were checked when they were submitted, or since, and whether all were.

        What is checked now is among them in the next pass. An engine that has nothing, as while its nodes come up after
        a restart, says nothing of a job; one that has too little is believed when it has said so for a while.
        """
        unchecked = [job for job in ready if job.unchecked]
        known = {job.id for job in unchecked}
        self._doubted = {job: since for job, since in self._doubted.items() if job in known}
        if not unchecked:
            return [*ready], True
        checked = [job for job in ready if not job.unchecked]
        try:
            with self._site.engine("capacity") as backend:
                capacity = backend.capacity()
        except BackendUnavailable as error:
            _LOG.info("%d jobs cannot be checked yet: %s", len(unchecked), one_line(error.message, 300))
            return checked, False
        if nothing := self._nothing(capacity):
            self._tell({job.id: f"queued; whether it fits is not known yet: {nothing}" for job in unchecked})
            return checked, False
        unchecked.sort(key=lambda job: self._doubted.get(job.id, -1.0))
        found = {job.id: self._check(job.id, capacity) for job in unchecked[:_AT_ONCE]}
        self._tell({job: doubt for job, doubt in found.items() if doubt})
        return checked, False

    def _nothing(self, capacity: Capacity) -> str:
        """Why an engine that answers says nothing of whether a job fits; empty where it does."""
        if capacity.largest_gang or (capacity.slots and not capacity.faults):
            return ""
        name = self._site.backend.name.capitalize()
        return capacity.faults[0] if capacity.faults else f"{name} has no node yet where it may run"

    def _check(self, job: str, capacity: Capacity) -> str:
        """Look whether one fits; what is to be told of it where that is in doubt."""
        try:
            self._fit(job, capacity)
        except (BackendUnavailable, Fenced, StoreError):
            raise
        except Stale as error:
            _LOG.info("%s", error.message)
        except UsageError as error:
            return self._too_large(job, error)
        except Exception as error:  # one job's trouble is not the others'
            self._troubles.met(job, error)
        return ""

    def _too_large(self, job: str, error: UsageError) -> str:
        now = self._site.clock.monotonic()
        if now - self._doubted.setdefault(job, now) < _SURE:
            said = one_line(error.message, _LONGEST)
            return f"queued; it does not fit now, and fails if that is so for {duration(_SURE)}: {said}"
        self._starts.give_up(job, SpecError(error.message, hint=error.hint))  # in the words of a submit
        return ""

    def _tell(self, reasons: Mapping[str, str]) -> None:
        """Why they are not handed over, where that is not what is told already."""
        if not reasons:
            return
        with self._site.store.read() as connection:
            told = jobs.reasons(connection, reasons)
        if changed := {job: reason for job, reason in reasons.items() if told.get(job) != reason}:
            _LOG.info("%d jobs are not handed over, such as %s: %s", len(changed), *next(iter(changed.items())))
            with self._site.commit("not checked") as connection:
                jobs.set_reasons(connection, changed, JobState.QUEUED)

    def _fit(self, job: str, capacity: Capacity) -> None:
        with self._site.store.read() as connection:
            record = jobs.get(connection, job)
            estimate = expected_of(connection, [record]).get(job)
        workload = self._site.workload_of(record)
        check_room(workload, self._site.profile, capacity)
        device = device_of(workload, self._site.profile, capacity)
        expected = None if estimate is None else Expected(estimate, device)
        columns = columns_of(self._site, workload, capacity, expected)
        with self._site.commit("checked") as connection:
            if jobs.get(connection, job).state is JobState.QUEUED:
                jobs.set_columns(connection, record, reason="queued", unchecked=False, **columns)


def columns_of(site: Site, workload: Workload, capacity: Capacity, expected: Expected | None) -> dict[str, Any]:
    """What of a job depends on what the engine has.

    Args:
        site: where.
        workload: of the job.
        capacity: of the engine.
        expected: of the job; None where nobody has an idea.
    """
    slots, needs = slots_per_worker(workload, capacity), needs_of(workload, capacity.slot_kind)
    # Such an engine ends who takes more than was asked for, and of a search our estimate knows the trials alone.
    guess = not (site.backend.queues and is_search(workload))
    default = memory_default(expected, capacity, slots, cores_per_worker(workload, capacity)) if guess else 0
    if "memory" not in needs and default:
        needs["memory"] = default
    return {"slots_per_worker": slots, "needs": needs}
