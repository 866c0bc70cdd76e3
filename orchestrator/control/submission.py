"""A submitted workload checked, its dependencies found, and the job committed: only then is it acknowledged."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from sqlalchemy import Connection

from orchestrator.backends.protocol import Capacity
from orchestrator.base.errors import (
    BackendUnavailable,
    Conflict,
    NotAllowed,
    OrchestratorError,
    SpecError,
    StoreError,
    UsageError,
)
from orchestrator.base.text import binary, counted, one_line
from orchestrator.control.briefly import briefly
from orchestrator.control.checking import columns_of
from orchestrator.control.measuring import Expectations, Expected, keep
from orchestrator.control.preview import Preview
from orchestrator.control.site import Site
from orchestrator.lifecycle.states import JobState
from orchestrator.planning.content import content_digest
from orchestrator.planning.launch import is_elastic, kind_of
from orchestrator.planning.queueing import Ask, refuse_unfit, room_for
from orchestrator.planning.teams import NOBODYS, unheard_of
from orchestrator.planning.whatif import NEW
from orchestrator.spec.messages import SubmitRequest
from orchestrator.spec.workload import Workload
from orchestrator.store import jobs
from orchestrator.store.faults import free_bytes
from orchestrator.store.records import JobRecord

_LOG = logging.getLogger(__name__)

RESERVE = 16 * 2**20
"""Bytes that must be free where run directories lie: less does not even hold a log."""

_PATIENCE = 5.0
"""Seconds that an engine is waited for; a queue takes jobs whatever the engine does."""
_SHOWN = 20
_NAMED = re.compile(r"""(?:^|[{,\s])["']?name["']?\s*:\s*["']?([\w.-]+)""")
"""What may be the name in a document that cannot be read as a workload."""


@dataclass(frozen=True)
class Taken:
    """A workload that is queued.

    Attributes:
        job: as it is stored.
        created: whether it is new; False: the client key stood for it already.
        warnings: what may surprise.
    """

    job: JobRecord
    created: bool
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Examined:
    """What is known of a workload, whoever submits it and however often."""

    workload: Workload
    expected: Expected | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Prepared:
    """A workload that can be queued."""

    request: SubmitRequest
    content: str
    job: JobRecord
    examined: _Examined


@dataclass(frozen=True)
class _Desk:
    """One submission of one or many workloads.

    Attributes:
        owner: who submits.
        highest: priority that this person may give; None: any.
        teams: that this person may charge; None: all.
        capacity: says what the engine has, None where it does not tell; asked once, and not at all where every job is
            known already.
        examined: workloads by their content: the same one is looked at once.
        names: of the workloads so far, those that were refused too.
        alone: there is but one; the engine's dry run would take too long for many.
    """

    owner: str
    highest: int | None
    teams: Collection[str] | None
    capacity: Callable[[], Capacity | None]
    examined: dict[str, _Examined] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    alone: bool = False


class Submission:
    """Takes workloads into the queue."""

    def __init__(self, site: Site, state_directory: Path) -> None:
        self._site = site
        self._state_directory = state_directory
        self._expectations = Expectations(site, state_directory)
        self._preview = Preview(site)

    def take(
        self,
        request: SubmitRequest,
        owner: str,
        *,
        highest: int | None = None,
        teams: Collection[str] | None = None,
    ) -> Taken:
        """Queue one workload, of priority `highest` at most, for one of these teams.

        Raises:
            SpecError, NotAllowed, UsageError, Conflict, StoreError: nothing was created.
        """
        return self.take_many([request], owner, highest=highest, teams=teams)[0]

    def take_many(
        self,
        requests: Sequence[SubmitRequest],
        owner: str,
        *,
        highest: int | None = None,
        teams: Collection[str] | None = None,
    ) -> list[Taken]:
        """Queue workloads, all or none, in one transaction; each may depend on those before it.

        Raises:
            SpecError, NotAllowed, UsageError, Conflict, StoreError: nothing was created.
        """
        desk = _Desk(owner, highest, teams, cache(self._capacity), alone=len(requests) == 1)
        prepared = self._prepare_all(requests, desk)
        with self._site.commit("submit") as connection:
            return [one if isinstance(one, Taken) else self._insert(connection, one) for one in prepared]

    def _capacity(self) -> Capacity | None:
        """What the engine has; None where one with a queue of its own does not tell: its jobs are queued all the same.

        Raises:
            BackendUnavailable: another engine does not tell.
        """
        backend = self._site.backend
        if not backend.queues:
            return backend.capacity()
        try:
            return briefly(backend.capacity, _PATIENCE)
        except BackendUnavailable as error:
            _LOG.info("jobs are queued without a look at what the engine has: %s", one_line(error.message, 300))
            return None

    def _prepare_all(self, requests: Sequence[SubmitRequest], desk: _Desk) -> list[Taken | _Prepared]:
        prepared: list[Taken | _Prepared] = []
        errors: list[tuple[str, OrchestratorError]] = []
        for request in requests:
            try:
                prepared.append(self._prepare(request, desk))
            except (SpecError, NotAllowed, UsageError, Conflict) as error:
                errors.append((request.filename, error))
        if len(requests) == 1 and errors:
            raise errors[0][1]
        if errors:
            raise _all_of(errors, len(requests))
        return prepared

    def _prepare(self, request: SubmitRequest, desk: _Desk) -> Taken | _Prepared:
        """Everything that needs no transaction; the job that the client key stands for, where it is known already."""
        content = content_digest(request.source, request.overrides, request.workdir)
        with self._site.store.read() as connection:
            if (known := _known(connection, request, desk.owner, content)) is not None:
                return Taken(known, created=False)
        found = desk.examined.get(content)
        if found is None:
            found = desk.examined[content] = self._examine(request, content, desk)
        job = self._record(request, desk.owner, found.workload, content, desk.capacity(), found.expected)
        return _Prepared(request, content, job, found)

    def _examine(self, request: SubmitRequest, content: str, desk: _Desk) -> _Examined:
        workload = self._parse(request, desk)
        workdir = Path(request.workdir)
        _refuse_beyond_rights(workload, desk.highest, desk.teams)
        capacity = desk.capacity()
        warnings = [*self._check(workload, desk, workdir), *self._of_team(workload.team)]
        warnings += [self._unchecked()] if capacity is None else []
        if capacity is not None and self._site.backend.queues:
            self._refuse_unfit(workload, request)
        self._refuse_full_disk()
        capacity = capacity or room_for(workload)
        expected = self._expectations.of(workload, capacity, owner=desk.owner, content=content, workdir=workdir)
        if desk.alone:
            self._preview.refuse(workload, request.workdir, expected)
        return _Examined(workload, expected, tuple(warnings))

    def _parse(self, request: SubmitRequest, desk: _Desk) -> Workload:
        """A workload; its name counts even where it is refused, so that those after it are not blamed for that."""
        try:
            workload = self._site.workloads.parse(request.source, request.filename, request.overrides)
        except SpecError:
            desk.names.update(_NAMED.findall(request.source))
            raise
        desk.names.add(workload.name)
        return workload

    def _insert(self, connection: Connection, one: _Prepared) -> Taken:
        job, found = one.job, one.examined
        if (known := _known(connection, one.request, job.owner, one.content)) is not None:
            return Taken(known, created=False, warnings=found.warnings)
        job = jobs.insert(connection, replace(job, depends_on=_dependencies(connection, found.workload)))
        if found.expected is not None:
            keep(connection, job.id, found.expected)
        return Taken(job, created=True, warnings=found.warnings)

    def _unchecked(self) -> str:
        name = self._site.backend.name.capitalize()
        return f"{name} does not answer: whether it has room for this is checked once it does, before it is handed over"

    def _of_team(self, team: str) -> list[str]:
        """Where the profile names no teams, what to say of one that nobody has used yet."""
        if self._site.profile.teams or team == NOBODYS:
            return []
        with self._site.store.read() as connection:
            return [] if jobs.has_team(connection, team) else unheard_of(team, jobs.teams(connection))

    def _check(self, workload: Workload, desk: _Desk, workdir: Path) -> list[str]:
        """Warnings; what the cluster and what the dependencies have against the workload is refused in one message."""
        warnings: list[str] = []
        errors: list[UsageError] = []
        site = self._site
        try:
            capacity = desk.capacity() or room_for(workload)
            warnings = site.workloads.check(
                workload, site.profile, capacity, workdir=workdir, state_dir=self._state_directory
            )
        except UsageError as error:
            errors.append(error)
        try:
            with site.store.read() as connection:
                _dependencies(connection, workload, beside=desk.names)
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
        capacity: Capacity | None,
        expected: Expected | None,
    ) -> JobRecord:
        workers, now = workload.workers, self._site.clock.now()
        sized = columns_of(self._site, workload, capacity or room_for(workload), expected)
        job = JobRecord(
            id=self._site.ids.new("j"),
            name=workload.name,
            kind=kind_of(workload),
            owner=owner,
            team=workload.team,
            priority=workload.priority,
            state=JobState.QUEUED,
            reason="queued" if capacity is not None else f"queued; {self._unchecked()}",
            profile=self._site.profile.name,
            workload=self._site.workloads.freeze(workload),
            workdir=request.workdir,
            environment=request.environment,
            content=content,
            workers_min=workers.min,
            workers_max=workers.max,
            slots_per_worker=sized["slots_per_worker"],
            elastic=is_elastic(workload),
            needs=sized["needs"],
            unchecked=capacity is None,
            time_limit=workload.time_limit,
            created_at=now,
            waits_since=now,
            revision=request.code.revision,
            dirty=request.code.dirty,
            client_key=request.client_key,
        )
        return job if expected is None else replace(job, **expected.columns)

    def _refuse_unfit(self, workload: Workload, request: SubmitRequest) -> None:
        site = self._site
        directory = site.job_directory(NEW).run(f"{NEW}-r1")
        refuse_unfit(Ask(workload, site.profile, request.workdir, directory, {}), site.backend)

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


def _all_of(errors: Sequence[tuple[str, OrchestratorError]], submitted: int) -> OrchestratorError:
    """Everything that keeps workloads out that were submitted together, as an error of their kind."""
    shown = [f"{filename}: {error.message}" for filename, error in errors[:_SHOWN]]
    more = [f"and {len(errors) - _SHOWN} more"] if len(errors) > _SHOWN else []
    hints = dict.fromkeys(error.hint for _, error in errors[:_SHOWN] if error.hint)
    kinds = {type(error) for _, error in errors}
    kind = kinds.pop() if len(kinds) == 1 else UsageError
    nothing = f"{len(errors)} of {counted(submitted, 'workload')} cannot be queued; nothing was created"
    return kind("\n".join([*shown, *more]), hint="; ".join([nothing, *hints]))


def _dependencies(connection: Connection, workload: Workload, *, beside: Collection[str] = ()) -> tuple[str, ...]:
    """Names and identifiers become identifiers of jobs that exist already, so that no cycle can arise.

    Args:
        connection: of a transaction.
        workload: which depends on them.
        beside: names of workloads that are queued before it in the same transaction; they are passed over.
    """
    found, problems = [], []
    for name in workload.depends_on:
        if name in beside and name != workload.name:
            continue
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
