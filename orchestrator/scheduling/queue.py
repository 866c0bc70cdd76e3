"""`Queue`: the waiting jobs under one order, in lines of those that need the same; kept sorted while things happen."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from typing import NamedTuple

from orchestrator.scheduling.cluster import Demand
from orchestrator.scheduling.expected import expected_seconds
from orchestrator.scheduling.hurdles import Hurdle, hurdle
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.latest import Latest
from orchestrator.scheduling.lines import Entry, Line
from orchestrator.scheduling.orders.ranking import Key, Ranking

Kind = tuple[str, int, str, int]
"""Group, number of the demand, and where they count team and priority: what the jobs of a line have in common. None of
them fits where one before it does not, for want of room or of a share."""


class Apart(NamedTuple):
    """Which jobs that need the same stand in different lines.

    Attributes:
        teams: those of different teams, where teams have quotas or limits.
        priorities: those of different priorities, where running jobs may be stopped.
    """

    teams: bool
    priorities: bool


class Queue:
    """Jobs with a hurdle wait aside, and come in when it ends by itself; jobs whose key changes are sorted anew.

    Attributes:
        ranking: the order.
        apart: which jobs stand in different lines.
        now: up to when it is right.
        lines: none is empty.
        latest: bounds on the ranks of running jobs in the same order.
    """

    def __init__(self, ranking: Ranking, jobs: Iterable[Job], now: float, *, apart: Apart) -> None:
        self.ranking = ranking
        self.apart = apart
        self.now = now
        self.lines: dict[Kind, Line] = {}
        self.latest = Latest(ranking)
        self._shared: set[Kind] = set()
        self._demands: dict[Demand, int] = {}
        self._where: dict[str, tuple[Kind, Entry]] = {}
        self._aside: dict[str, Job] = {}
        self._changes: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}
        found: dict[Kind, list[Entry]] = {}
        for job in jobs:
            if (entry := self._entry(job)) is not None:
                found.setdefault(self._kind(job), []).append(entry)
        for kind, entries in found.items():
            line = self.lines[kind] = Line(kind[0], entries[0].job.demand)
            self._where |= {entry.id: (kind, entry) for entry in entries}
            line.fill(entries)
        heapq.heapify(self._changes)

    @property
    def top(self) -> float:
        """The highest priority, where those of different ones stand in different lines."""
        return max((priority for _, _, _, priority in self.lines), default=-math.inf)

    @property
    def wanted(self) -> int:
        """Slots of the fewest workers of all who could start."""
        return sum(len(line) * line.demand.workers_min * line.demand.slots for line in self.lines.values())

    def __contains__(self, job: str) -> bool:
        """Whether it waits in a line."""
        return job in self._where

    def copy(self) -> Queue:
        """One that can be changed by itself; a line is copied by whoever changes it first."""
        other = Queue(self.ranking, (), self.now, apart=self.apart)
        other.lines = self.lines.copy()
        self._shared = set(self.lines)
        other._shared = self._shared.copy()
        other.latest = self.latest.copy()
        other._demands = self._demands.copy()
        other._where, other._aside, other._due, other._changes = (
            self._where.copy(),
            self._aside.copy(),
            self._due.copy(),
            self._changes.copy(),
        )
        return other

    def put(self, job: Job) -> None:
        """It waits, as described."""
        self.drop(job.id)
        if (entry := self._entry(job)) is None:
            return
        kind = self._kind(job)
        if kind not in self.lines:
            self.lines[kind] = Line(kind[0], job.demand)
        self._own(kind).add(entry)
        self._where[job.id] = kind, entry

    def drop(self, job: str) -> None:
        """It waits no longer."""
        self._aside.pop(job, None)
        self._due.pop(job, None)
        if (found := self._where.pop(job, None)) is not None:
            kind, entry = found
            line = self._own(kind)
            line.remove(entry)
            if not line:
                del self.lines[kind]

    def key(self, job: Job) -> Key:
        """By which a job is sorted, without the offset of its group; looked up where it waits in a line."""
        found = self._where.get(job.id)
        return found[1].key if found is not None and found[1].job is job else self.ranking.key(job, self.now)

    def alike(self, job: Job) -> int | None:
        """A number that jobs which need the same have in common; None: it waits in no line."""
        found = self._where.get(job.id)
        return None if found is None else found[0][1]

    def _own(self, kind: Kind) -> Line:
        """A line that no copy of this queue shares."""
        if kind in self._shared:
            self._shared.remove(kind)
            self.lines[kind] = self.lines[kind].copy()
        return self.lines[kind]

    def pass_to(self, now: float) -> None:
        """Time passes: back-offs end, keys change."""
        self.now = now
        while self._changes and self._changes[0][0] <= now:
            due, name = heapq.heappop(self._changes)
            if self._due.get(name) == due:
                job = self._aside.get(name)
                self.put(self._where[name][1].job if job is None else job)

    def next_change(self) -> float:
        """When the queue next changes by itself; infinite: never."""
        changes = self._changes
        while changes and self._due.get(changes[0][1]) != changes[0][0]:
            heapq.heappop(changes)
        return changes[0][0] if changes else math.inf

    def _entry(self, job: Job) -> Entry | None:
        """None where it has a hurdle."""
        found = hurdle(job, self.now)
        if found is not None:
            self._aside[job.id] = job
            if found is Hurdle.BACKOFF and job.not_before is not None:
                self._remember(job, job.not_before)
            return None
        self._remember(job, self.ranking.until(job, self.now))
        return Entry(self.ranking.key(job, self.now), job.id, expected_seconds(job, job.demand.workers_max), job)

    def _remember(self, job: Job, due: float) -> None:
        if self.now < due < math.inf:
            self._due[job.id] = due
            heapq.heappush(self._changes, (due, job.id))

    def _kind(self, job: Job) -> Kind:
        teams, priorities = self.apart
        team, priority = job.team if teams else "", job.priority if priorities else 0
        demand = self._demands.setdefault(job.demand, len(self._demands))
        return (self.ranking.group(job), demand, team, priority)
