"""What the store knows that a decision depends on, read in one transaction."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Connection

from orchestrator.lifecycle.states import JobState
from orchestrator.store import jobs, nodes, runs, usage
from orchestrator.store.database import Store
from orchestrator.store.jobs import OpenJob
from orchestrator.store.nodes import NodeMark
from orchestrator.store.records import RunRecord
from orchestrator.store.usage import TeamUsage

_TRIES = 3
"""So often facts are read until nobody changes the queue meanwhile."""

_UNKNOWN = "what its damaged row names"
"""In the place of jobs that a job depends on and that cannot be read: it must not start before them."""


@dataclass(frozen=True)
class Facts:
    """Jobs and nodes at one instant.

    Attributes:
        jobs: that wait or hold slots, by identifier.
        active: runs that hold slots, oldest first, as far as they can be read.
        damaged: jobs of runs that hold slots and cannot be read.
        dependencies: the state of every job that a waiting one depends on.
        marks: what people said about nodes.
        usage: of teams.
        pins: widths that people chose, of jobs that run or wait to go on.
    """

    jobs: Mapping[str, OpenJob]
    active: Sequence[RunRecord]
    damaged: Collection[str]
    dependencies: Mapping[str, JobState]
    marks: Mapping[str, NodeMark]
    usage: Sequence[TeamUsage]
    pins: Mapping[str, int]

    @classmethod
    def read(cls, connection: Connection, waiting: Collection[OpenJob] | None = None) -> Facts:
        """Of one connection.

        Args:
            connection: for reading.
            waiting: the jobs that wait, where they are known: of a long queue most of the time goes into reading them.
        """
        found = {job.id: job for job in (jobs.waiting(connection) if waiting is None else waiting)}
        found |= {job.id: job for job in jobs.holding(connection)}
        needed = {other for job in found.values() for other in dependencies_of(job)}
        holding = runs.look(connection)
        return cls(
            jobs=found,
            active=holding.runs,
            damaged=frozenset(holding.damaged),
            dependencies=jobs.states(connection, needed),
            marks=nodes.all(connection),
            usage=usage.all(connection),
            pins=runs.pins(connection),
        )

    @cached_property
    def holding(self) -> Collection[str]:
        """Jobs whose runs hold slots."""
        return frozenset(self.damaged) | {run.job for run in self.active}

    @cached_property
    def waiting(self) -> Sequence[OpenJob]:
        """Jobs that wait; one whose last run still holds slots is among them once it is queued."""
        queued = {str(JobState.QUEUED), str(JobState.HELD)}
        recovering = str(JobState.RECOVERING)
        return [
            job
            for job in self.jobs.values()
            if job.state in queued or (job.state == recovering and job.id not in self.holding)
        ]

    def unmet(self, job: OpenJob) -> tuple[str, ...]:
        """The jobs that must succeed before this one starts."""
        needed = dependencies_of(job)
        return tuple(other for other in needed if self.dependencies.get(other) is not JobState.SUCCEEDED)


class FactsReader:
    """Reads them again and again: of a long queue only the jobs that changed. For one thread at a time."""

    def __init__(self) -> None:
        self._version: int | None = None
        self._waiting: dict[str, OpenJob] = {}

    def read(self, store: Store) -> Facts:
        """As they are now; a row of a waiting job that has not changed is the same object as before."""
        for _ in range(_TRIES):
            version = store.queue_version  # read before the jobs, so that no change is missed
            with store.read() as connection:
                self._bring_to(version, store, connection)
                facts = Facts.read(connection, self._waiting.values())
            if store.queue_version == version:
                break  # nobody left the queue between the two
        return facts

    def _bring_to(self, version: int, store: Store, connection: Connection) -> None:
        changed = None if self._version is None else store.queue_changes(self._version)
        if changed is None:
            self._waiting = {row.id: row for row in jobs.waiting(connection)}
        elif changed:
            found = {row.id: row for row in jobs.waiting_among(connection, changed)}
            self._waiting = {name: row for name, row in self._waiting.items() if name not in changed} | found
        self._version = version


def dependencies_of(job: OpenJob) -> tuple[str, ...]:
    """The jobs that it depends on; where that cannot be read, something that never succeeds."""
    if job.depends_on == "[]":
        return ()
    try:
        return tuple(map(str, json.loads(job.depends_on)))
    except (RecursionError, TypeError, ValueError):
        return (_UNKNOWN,)
