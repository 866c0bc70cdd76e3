"""A running job gets more or fewer workers: what is refused, what is written down, and when it is given up."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from orchestrator.backends.protocol import Capacity
from orchestrator.base.errors import Conflict, UsageError
from orchestrator.base.text import counted
from orchestrator.control.membership import running
from orchestrator.control.site import Site
from orchestrator.control.timers import Elapsed
from orchestrator.control.wishes import running_run
from orchestrator.lifecycle.reasons import Holder, duration, too_few_slots
from orchestrator.lifecycle.states import JobState
from orchestrator.planning.launch import is_elastic, kind_of
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.store import jobs, runs
from orchestrator.store.records import JobRecord, RunRecord

_UNCHANGED = "nothing was changed"


@dataclass(frozen=True)
class Resize:
    """Of a running job to another number of workers."""

    site: Site
    connection: Connection
    job: JobRecord
    workers: int

    def begin(self, capacity: Capacity) -> None:
        """Write the wish down; the next pass of the controller tells the run. Asking twice changes nothing.

        Raises:
            UsageError: the workload can never have so many.
            Conflict: not now: it does not run, another resize is under way, or there is no room.
        """
        workload = self._elastic()
        run = running_run(self.connection, self.job, "be resized")
        self._refuse_for_ever(workload)
        if run.wanted == self.workers:
            return
        if self.job.state is JobState.RESIZING:
            under_way = f"from {run.resizing_from} to {counted(run.wanted, 'worker')}"
            raise Conflict(
                f"job {self.job.id} is being resized {under_way} already",
                hint="wait until that is done; `orchestrator status` tells",
            )
        self._refuse_without_room(run, capacity)
        self._write_down(run)

    def _elastic(self) -> RegNetWorkload:
        workload = self.site.workload_of(self.job)
        if not is_elastic(workload):
            raise UsageError(
                f"job {self.job.id} is a {kind_of(workload)}: it keeps the workers that it was started with",
                hint="one training of a recipe can be resized",
            )
        return workload

    def _refuse_for_ever(self, workload: RegNetWorkload) -> None:
        asked = workload.resources.workers
        if self.workers not in asked:
            least = "" if asked.min == asked.max else f"{asked.min} to "
            raise UsageError(
                f"job {self.job.id} has {least}{counted(asked.max, 'worker')} by its resources.workers, "
                f"not {self.workers}",
                hint=_UNCHANGED,
            )
        self._refuse_by_limits(workload)

    def _refuse_by_limits(self, workload: RegNetWorkload) -> None:
        slices, most = workload.train.virtual_workers, self.site.profile.limits.max_workers
        if self.workers > slices:
            raise UsageError(
                f"job {self.job.id} cuts its batch into {counted(slices, 'virtual worker')}; "
                f"{self.workers} workers would have nothing to do",
                hint=_UNCHANGED,
            )
        if most is not None and self.workers > most:
            allowed = counted(most, "worker")
            raise UsageError(f"cluster {self.site.profile.name} allows {allowed} a job", hint=_UNCHANGED)

    def _refuse_without_room(self, run: RunRecord, capacity: Capacity) -> None:
        more = self.workers * self.job.slots_per_worker - run.slots
        if more <= 0:
            return
        active = runs.unreleased(self.connection)
        free = max(0, min(capacity.free, capacity.slots - sum(other.slots for other in active)))
        largest = min(capacity.largest_gang - run.slots, free)
        if more > largest:
            holders = [Holder(other.job, other.slots, other.created_at) for other in active if other.job != run.job]
            why = too_few_slots(more, free, capacity.slots, capacity.slot_kind, holders).text
            room, others = (run.slots + largest) // self.job.slots_per_worker, self.workers - run.wanted
            raise Conflict(
                f"job {self.job.id} cannot grow from {run.wanted} to {counted(self.workers, 'worker')}: "
                f"for {others} more it {why}",
                hint=f"there is room for {room} now" if room > run.wanted else _UNCHANGED,
            )

    def _write_down(self, run: RunRecord) -> None:
        now = self.site.clock.now()
        slots = self.workers * self.job.slots_per_worker
        if run.world_size == self.workers:  # a lost worker that is not to be replaced
            runs.change(self.connection, run, wanted=self.workers, slots=slots)
            jobs.set_columns(self.connection, self.job, reason=running(self.workers, run.id))
            return
        runs.change(
            self.connection,
            run,
            wanted=self.workers,
            resizing_from=run.wanted,
            resizing_since=now,
            slots=max(run.slots, slots),
        )
        reason = f"asked to resize from {run.wanted} to {counted(self.workers, 'worker')}"
        told = {"workers": self.workers}
        jobs.move(self.connection, self.job, JobState.RESIZING, reason=reason, time=now, run=run.id, data=told)


class Resizes:
    """The controller's look at resizes that are under way."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._elapsed = Elapsed(site.clock)

    def watch(self, run: RunRecord) -> None:
        """Call a resize off that does not come about in time: the run goes on with the workers that it had."""
        if run.resizing_since is None or run.resizing_from is None:
            return
        key = f"{run.id} {run.resizing_since}"
        limit = self._site.profile.watch.resize_within
        if self._elapsed.since(key, run.resizing_since) <= limit:
            return
        with self._site.commit("resize called off") as connection:
            job = jobs.get(connection, run.job)
            before = run.resizing_from
            runs.change(
                connection,
                run,
                wanted=before,
                resizing_from=None,
                resizing_since=None,
                slots=max(before, run.world_size) * job.slots_per_worker,
            )
            if job.state is JobState.RESIZING and job.token == run.token:
                reason = (
                    f"wanted on {counted(before, 'worker')} again: {run.wanted} did not come about within "
                    f"{duration(limit)}, it has {run.world_size}; `orchestrator logs {job.id}` may tell why"
                )
                now = self._site.clock.now()
                jobs.move(connection, job, JobState.RUNNING, reason=reason, time=now, run=run.id)
        self._elapsed.drop(key)
