"""What a run says of its workers: how many share its work from a view on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from sqlalchemy import Connection

from orchestrator.base.text import counted, one_line
from orchestrator.control.accounts import charge
from orchestrator.control.places import trimmed
from orchestrator.control.site import Site
from orchestrator.lifecycle.states import JobState
from orchestrator.store import events, jobs, runs
from orchestrator.store.records import JobRecord, RunRecord

MOST_WORKERS = 1_000_000
_LAST_VIEW = 2**31 - 1
CAUSES = {
    "start": "the others have not joined yet",
    "resize": "resized",
    "lost": "a worker was lost",
    "joined": "a worker joined",
    "left": "the others were told to leave",
    "taken": "the others were taken back by the engine",
}
"""Why a run has a new view, by its own word."""


@dataclass(frozen=True)
class Resized:
    """A run's word on who shares its work from a view on; foreign until it was read.

    Attributes:
        world_size: workers.
        view: its epoch; words of several agents come in any order.
        cause: why, in the run's words; empty where it gives none.
        time: seconds since the epoch.
        leader: number of the worker that leads.
        nodes: workers of each node, where its engine has several and it says so.
    """

    world_size: int
    view: int
    cause: str
    time: float
    leader: int = 0
    nodes: Mapping[str, int] | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any], time: float) -> Resized | None:
        """Of an event's data; None where that is no such word."""
        world_size, view = data.get("world_size"), data.get("epoch")
        if not (_is_count(world_size, MOST_WORKERS) and _is_count(view, _LAST_VIEW)):
            return None
        leader = leader_of(data)
        cause = one_line(str(data.get("cause") or ""), 100)
        return cls(world_size, view, cause, time, 0 if leader is None else leader, _nodes_of(data))

    def apply(self, connection: Connection, site: Site, run: RunRecord) -> RunRecord:
        """Take it into the store, and move the job where a resize is done."""
        if self.view <= run.view:
            return run
        if site.backend.queues:
            return self._as_the_engine_gives(connection, site, run)
        job = jobs.get(connection, run.job)
        ours = job.token == run.token
        arrived = self._is_where_wanted(run)
        if arrived:
            run = self._settle(connection, charge(connection, site, run, until=self.time), job)
        if run.resizing_from is not None and arrived:
            if ours and job.state is JobState.RESIZING:
                self._done(connection, job, run)
            settled: dict[str, Any] = {"resizing_from": None, "resizing_since": None, "resized_at": site.clock.now()}
            return runs.change(connection, run, world_size=self.world_size, view=self.view, **settled)
        if ours and job.state in {JobState.RUNNING, JobState.RESIZING}:
            jobs.set_columns(connection, job, reason=self._now_on(run))
        return runs.change(connection, run, world_size=self.world_size, view=self.view)

    def _as_the_engine_gives(self, connection: Connection, site: Site, run: RunRecord) -> RunRecord:
        """It has what the engine has given so far, where the engine has put it; more may join it at any moment."""
        job = jobs.get(connection, run.job)
        run = charge(connection, site, run, until=self.time)
        placement = run.placement if self.nodes is None else tuple(sorted(self.nodes.items()))
        if job.token == run.token and job.state is JobState.RUNNING:
            jobs.set_columns(connection, job, reason=runs_on(self.world_size, run.wanted, run.id))
        return runs.change(
            connection,
            run,
            world_size=self.world_size,
            view=self.view,
            slots=self.world_size * job.slots_per_worker,
            placement=placement,
            resized_at=site.clock.now(),
        )

    def _is_where_wanted(self, run: RunRecord) -> bool:
        """As many as wanted, and at the right place: the word may be on a resize that was called off meanwhile."""
        target = trimmed(run.becomes or run.placement, run.wanted)
        return self.world_size == run.wanted and self.nodes in (None, dict(target))

    def _settle(self, connection: Connection, run: RunRecord, job: JobRecord) -> RunRecord:
        """It has what it should have: what else was kept for it is free."""
        placement = trimmed(run.becomes or run.placement, run.wanted)
        slots = run.wanted * job.slots_per_worker
        kept: dict[str, Any] = {"placement": placement, "was": None, "becomes": None, "freed_for": None}
        return runs.change(connection, run, slots=slots, **kept)

    def _done(self, connection: Connection, job: JobRecord, run: RunRecord) -> None:
        reason = f"{running(self.world_size, run.id)}, resized from {run.resizing_from}"
        told = {"workers": self.world_size}
        jobs.move(connection, job, JobState.RUNNING, reason=reason, time=self.time, run=run.id, data=told)

    def _now_on(self, run: RunRecord) -> str:
        if self.world_size == run.wanted:
            return running(self.world_size, run.id)
        why = f": {CAUSES.get(self.cause, self.cause)}" if self.cause else ""
        return f"runs on {self.world_size} of {counted(run.wanted, 'worker')} ({run.id}){why}"


def lost(connection: Connection, run: RunRecord, number: object, members: Collection[int] | None) -> RunRecord:
    """A worker is lost: the run waits for another one until its next view, which comes at once where enough are left.

    Args:
        connection: of a transaction.
        run: as it is.
        number: the worker's; foreign.
        members: numbers of the workers of its newest view; None: not known.
    """
    if members is None:
        left = run.world_size - 1
    elif number in members:
        gone = events.numbers(connection, run.job, run.id, "worker_lost") | {number}
        left = sum(member not in gone for member in members)
    else:  # it shared no work, or the run goes on without it already
        return run
    job = jobs.get(connection, run.job)
    if job.token == run.token and job.state in {JobState.RUNNING, JobState.RESIZING}:
        reason = f"waits for another worker: {max(0, left)} of {run.wanted} left ({run.id})"
        jobs.set_columns(connection, job, reason=reason)
    return runs.change(connection, run, world_size=max(0, left))


def leader_of(data: Mapping[str, Any]) -> int | None:
    """The number of the worker that leads, of a `resized` event's data; None where it does not say."""
    members = data.get("members")
    first = members[0] if isinstance(members, list) and members else None
    number = first.get("number") if isinstance(first, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def first_world(data: Mapping[str, Any], launched: int) -> int:
    """How many workers a `started` event tells of; as many as were launched where it does not say."""
    told = data.get("world_size")
    return told if _is_count(told, MOST_WORKERS) else launched


def running(workers: int, run: str) -> str:
    """Why a job is RUNNING."""
    return f"runs on {counted(workers, 'worker')} ({run})"


def runs_on(workers: int, wanted: int, run: str) -> str:
    """Why a job is RUNNING that grows as its engine has room."""
    if workers >= wanted:
        return running(workers, run)
    return f"runs on {workers} of up to {counted(wanted, 'worker')} ({run})"


def _nodes_of(data: Mapping[str, Any]) -> Mapping[str, int] | None:
    """Where its workers lie, of a `resized` event's data; None where it does not say."""
    told = data.get("nodes")
    said = isinstance(told, dict) and all(_is_count(workers, MOST_WORKERS) for workers in told.values())
    return told if said else None


def _is_count(value: object, most: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most
