"""`Checking`: what was queued while the engine did not say what it has is checked before it is handed over."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from orchestrator.backends.protocol import Capacity
from orchestrator.base.errors import BackendUnavailable, Fenced, SpecError, StoreError, UsageError
from orchestrator.base.text import one_line
from orchestrator.control.demands import needs_of
from orchestrator.control.measuring import Expected, expected_of, memory_default
from orchestrator.control.site import Site
from orchestrator.control.starts import Starts
from orchestrator.control.troubles import Troubles
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

    def passed(self, ready: Sequence[OpenJob]) -> tuple[list[OpenJob], bool]:
        """Those of some jobs that were checked when they were submitted, or since, and whether all were.

        What is checked now is among them in the next pass.
        """
        unchecked = [job for job in ready if job.unchecked]
        if not unchecked:
            return [*ready], True
        checked = [job for job in ready if not job.unchecked]
        try:
            with self._site.engine("capacity") as backend:
                capacity = backend.capacity()
        except BackendUnavailable as error:
            _LOG.info("%d jobs cannot be checked yet: %s", len(unchecked), one_line(error.message, 300))
            return checked, False
        for job in unchecked[:_AT_ONCE]:
            self._check(job.id, capacity)
        return checked, False

    def _check(self, job: str, capacity: Capacity) -> None:
        try:
            self._fit(job, capacity)
        except (BackendUnavailable, Fenced, StoreError):
            raise
        except Stale as error:
            _LOG.info("%s", error.message)
        except UsageError as error:  # what it says is what a submit would have said
            self._starts.give_up(job, SpecError(error.message, hint=error.hint))
        except Exception as error:  # one job's trouble is not the others'
            self._troubles.met(job, error)

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
