"""A submitted workload checked, its dependencies found, and the job committed: only then is it acknowledged."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection

from orchestrator.backends.protocol import Capacity
from orchestrator.base.errors import Conflict, NotAllowed, StoreError, UsageError
from orchestrator.base.text import binary
from orchestrator.control.demands import needs_of
from orchestrator.control.measuring import Expectations, Expected, keep, memory_default
from orchestrator.control.site import Site
from orchestrator.lifecycle.states import JobState
from orchestrator.planning.check import slots_per_worker
from orchestrator.planning.content import content_digest
from orchestrator.planning.launch import is_elastic, kind_of
from orchestrator.planning.teams import NOBODYS, unheard_of
from orchestrator.spec.messages import SubmitRequest
from orchestrator.spec.workload import Workload
from orchestrator.store import jobs
from orchestrator.store.faults import free_bytes
from orchestrator.store.records import JobRecord

RESERVE = 16 * 2**20
"""Bytes that must be free where run directories lie: less does not even hold a log."""


class Submission:
    """Takes workloads into the queue."""

    def __init__(self, site: Site, state_directory: Path) -> None:
        self._site = site
        self._state_directory = state_directory
        self._expectations = Expectations(site, state_directory)

    def take(
        self,
        request: SubmitRequest,
        owner: str,
        *,
        highest: int | None = None,
        teams: Collection[str] | None = None,
    ) -> tuple[JobRecord, bool, list[str]]:
        """The job, whether it is new, and warnings; of priority `highest` at most, for one of these teams.

        Raises:
            SpecError, NotAllowed, UsageError, Conflict, StoreError: nothing was created.
        """
        content = content_digest(request.source, request.overrides, request.workdir)
        with self._site.store.read() as connection:
            if (known := _known(connection, request, owner, content)) is not None:
                return known, False, []
        workload = self._site.workloads.parse(request.source, request.filename, request.overrides)
        _refuse_beyond_rights(workload, highest, teams)
        capacity = self._site.backend.capacity()
        warnings = [*self._check(workload, capacity, Path(request.workdir)), *self._of_team(workload.team)]
        self._refuse_full_disk()
        expected = self._expectations.of(workload, owner=owner, content=content, workdir=Path(request.workdir))
        job = self._record(request, owner, workload, content, capacity, expected)
        with self._site.commit("submit") as connection:
            if (known := _known(connection, request, owner, content)) is not None:
                return known, False, warnings
            job = jobs.insert(connection, replace(job, depends_on=_dependencies(connection, workload)))
            if expected is not None:
                keep(connection, job.id, expected)
        return job, True, warnings

    def _of_team(self, team: str) -> list[str]:
        """Where the profile names no teams, what to say of one that nobody has used yet."""
        if self._site.profile.teams or team == NOBODYS:
            return []
        with self._site.store.read() as connection:
            return [] if jobs.has_team(connection, team) else unheard_of(team, jobs.teams(connection))

    def _check(self, workload: Workload, capacity: Capacity, workdir: Path) -> list[str]:
        """Warnings; what the cluster and what the dependencies have against the workload is refused in one message."""
        warnings: list[str] = []
        errors: list[UsageError] = []
        site = self._site
        try:
            warnings = site.workloads.check(
                workload, site.profile, capacity, workdir=workdir, state_dir=self._state_directory
            )
        except UsageError as error:
            errors.append(error)
        try:
            with site.store.read() as connection:
                _dependencies(connection, workload)
        except UsageError as error:
            errors.append(error)
        if errors:
            hints = [error.hint for error in errors if error.hint]
            raise UsageError("\n".join(error.message for error in errors), hint="; ".join(hints))
        return warnings

    def _record(
        self,
        request: SubmitRequest,
        owner: str,
        workload: Workload,
        content: str,
        capacity: Capacity,
        expected: Expected | None,
    ) -> JobRecord:
        workers, now = workload.workers, self._site.clock.now()
        slots, needs = slots_per_worker(workload, capacity), needs_of(workload, capacity.slot_kind)
        if "memory" not in needs and (memory := memory_default(expected, capacity, slots)):
            needs["memory"] = memory
        job = JobRecord(
            id=self._site.ids.new("j"),
            name=workload.name,
            kind=kind_of(workload),
            owner=owner,
            team=workload.team,
            priority=workload.priority,
            state=JobState.QUEUED,
            reason="queued",
            profile=self._site.profile.name,
            workload=self._site.workloads.freeze(workload),
            workdir=request.workdir,
            environment=request.environment,
            content=content,
            workers_min=workers.min,
            workers_max=workers.max,
            slots_per_worker=slots,
            elastic=is_elastic(workload),
            needs=needs,
            time_limit=workload.time_limit,
            created_at=now,
            waits_since=now,
            revision=request.code.revision,
            dirty=request.code.dirty,
            client_key=request.client_key,
        )
        return job if expected is None else replace(job, **expected.columns)

    def _refuse_full_disk(self) -> None:
        free = free_bytes(self._site.runs_root)
        if free < RESERVE:
            raise StoreError(
                f"{self._site.runs_root}: the disk is full: {binary(free)} are free, at least {binary(RESERVE)} needed",
                hint="nothing was created; free some space and submit again",
            )


def _refuse_beyond_rights(workload: Workload, highest: int | None, teams: Collection[str] | None) -> None:
    """All that the submitter may not do, in one message."""
    messages, hints = [], []
    if highest is not None and workload.priority > highest:
        messages.append(f"priority {workload.priority} needs the role operator; yours may be up to {highest}")
        hints.append(f"submit it with --set priority={highest}, and ask an operator to raise it")
    if teams is not None and workload.team not in teams:
        messages.append(f"your token does not let you charge team {workload.team}")
        hints.append(f"submit it for one of: {', '.join(teams)}" if teams else "ask an admin of the server")
    if messages:
        raise NotAllowed("\n".join(f"{workload.name}: {each}" for each in messages), hint="; ".join(hints))


def _known(connection: Connection, request: SubmitRequest, owner: str, content: str) -> JobRecord | None:
    """The job that the client key stands for already."""
    if request.client_key is None:
        return None
    job = jobs.by_key(connection, owner, request.client_key)
    if job is not None and job.content != content:
        raise Conflict(
            f"the client key {request.client_key!r} stands for job {job.id}, which was submitted with other content",
            hint="use another key; nothing was created",
        )
    return job


def _dependencies(connection: Connection, workload: Workload) -> tuple[str, ...]:
    """Names and identifiers become identifiers of jobs that exist already, so that no cycle can arise."""
    found, problems = [], []
    for name in workload.depends_on:
        try:
            found.append(_dependency(connection, workload, name))
        except UsageError as error:
            problems.append(error.message)
    if problems:
        raise UsageError(f"{workload.name}: depends_on: " + "; ".join(problems), hint="submit what it depends on first")
    return tuple(dict.fromkeys(found))


def _dependency(connection: Connection, workload: Workload, name: str) -> str:
    named = jobs.get_many(connection, [name]).get(name)
    if named is None:
        newest = jobs.newest(connection, states=None, name=name, limit=1)
        if not newest:
            raise UsageError("it depends on itself" if name == workload.name else f"there is no job {name!r}")
        named = newest[0]
    if named.state in {JobState.FAILED, JobState.CANCELLED}:
        raise UsageError(f"job {named.id} ({name}) {named.state.clause}; retry it first")
    return named.id
