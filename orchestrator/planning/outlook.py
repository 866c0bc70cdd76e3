"""`Outlook`: one snapshot of the queue and what follows from it, each part worked out once, when it is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property

from orchestrator.lifecycle.reasons import Waiting
from orchestrator.planning.wait import Wait
from orchestrator.scheduling.cluster import Constraints, Demand, Node
from orchestrator.scheduling.decisions import Decisions
from orchestrator.scheduling.deltas import Pends
from orchestrator.scheduling.estimates.outlived import quantile
from orchestrator.scheduling.explain import Reasons, explain_running, maintenance_of
from orchestrator.scheduling.explain.types import Explanation
from orchestrator.scheduling.jobs import Job, Running, total_expected
from orchestrator.scheduling.layout import usable
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.simulation.forecast import Forecast, forecast
from orchestrator.spec.answers import Moment
from orchestrator.spec.policy import Policy

PLAYED = 50
"""So many waiting jobs are played through; when those behind them start is reckoned by the work before them."""
HORIZON = 7 * 86_400.0
"""Seconds that are played through."""
MOST_EVENTS = 600
"""So many events are played through: an answer must not take long."""

FURTHER = 200
"""For the sake of one job that is asked about, so many waiting jobs up to it, where a decision takes little."""

_QUICK, _MIDDLE, _SLOW = 0.1, 0.5, 0.9
_NOT_BY_WORK = frozenset({Waiting.TOO_LARGE, Waiting.HELD, Waiting.DEPENDENCY, Waiting.LIMIT, Waiting.NODES})
"""What these jobs wait for does not come by itself once the work before them is done."""


class Outlook:
    """What one snapshot means.

    Attributes:
        snapshot: the queue and the cluster.
        policy: how it is served.

    Args:
        snapshot: the queue and the cluster.
        policy: how it is served.
        state: the snapshot made ready for decisions, where somebody has done that; not changed.
        before: of the queue without jobs that were added; None: none were.
        words: when running jobs should be over by what they tell of themselves; people are told so, and no decision
            goes by it.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        policy: Policy,
        state: State | None = None,
        before: Outlook | None = None,
        words: Mapping[str, Moment] | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.policy = policy
        self._state = state or State.of(snapshot)
        self._before = before
        self.words: Mapping[str, Moment] = {job: end for job, end in (words or {}).items() if job in self.running}
        self._takers: dict[Constraints, frozenset[str]] = {}

    @property
    def now(self) -> float:
        """When the snapshot was taken."""
        return self.snapshot.now

    @cached_property
    def pending(self) -> Mapping[str, Job]:
        """Jobs that wait, by identifier."""
        return {job.id: job for job in self.snapshot.pending}

    @cached_property
    def running(self) -> Mapping[str, Running]:
        """Jobs that hold slots, by identifier."""
        return {running.job.id: running for running in self.snapshot.running}

    @cached_property
    def _reasons(self) -> Reasons:
        sure = {job: end.at for job, end in self.ends.items() if not end.by_limit}
        return Reasons(self._state, self.policy, self.now, sure)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Jobs that wait, in the policy's order."""
        return self._reasons.order

    def reason(self, job: str) -> Explanation:
        """Why a waiting job waits, without remedies."""
        return self._reasons.of(job)

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The place of each waiting job in that order, from 1."""
        return {job: place for place, job in enumerate(self.order, 1)}

    @property
    def decisions(self) -> Decisions:
        """What the policy does now."""
        return self._reasons.decisions

    @cached_property
    def near(self) -> tuple[str, ...]:
        """Jobs that wait and are played through, in the policy's order: those of the queue before, and who is new."""
        if self._before is None:
            return self.order[:PLAYED]
        known, chosen = self._before.pending, set(self._before.near)
        return tuple(
            job for job in self.order if job in chosen or (job not in known and self.places[job] <= len(chosen) + 1)
        )

    @cached_property
    def likely(self) -> Forecast:
        """The first jobs of the queue played through, each as quick as half of those that are like it."""
        return self._played(self.near, _MIDDLE)

    def plus(self, job: Job) -> Outlook:
        """The same with one more job that waits; the same jobs are played through, and this one if it is among them."""
        state = self._state.copy()
        state.apply(Pends(job), self.now)
        return Outlook(
            replace(self.snapshot, pending=(*self.snapshot.pending, job)), self.policy, state, self, self.words
        )

    def explained(self, job: str) -> Explanation:
        """Why one job waits, with remedies that were tried."""
        return self._reasons.explained(job)

    def wait_for(self, job: str) -> Wait | None:
        """Until when a waiting job waits if nobody does anything, and what comes before it; None: it is not in sight.

        A job behind those that are played through is played with all that are before it, or, where those are too many,
        told by their work.
        """
        view, place = self.likely, self.places[job]
        if job not in view.starts and place <= FURTHER and self.policy.backfill != "conservative":
            view = self._played(self.order[:place], _MIDDLE)
        if (at := view.starts.get(job)) is not None:
            return Wait.played(job, at, view, by_limit=self._by_limit(job, at, view)) if at > self.now else None
        start = self.start_of(job)
        return None if start is None else Wait(start.at, before=place - 1)

    def resumed_for(self, job: str) -> tuple[tuple[str, ...], Outlook]:
        """Drained nodes that a job accepts, and what follows if all of them take work again."""
        demand, now = self.pending[job].demand, self.now
        drained = [node for node in self.snapshot.nodes if node.state == "drained" and not node.taken]
        up = {node.name: replace(node, state="up") for node in drained}
        chosen = {name: node for name, node in sorted(up.items()) if usable(node, demand, now, now)}
        nodes = tuple(chosen.get(node.name, node) for node in self.snapshot.nodes)
        return tuple(chosen), Outlook(replace(self.snapshot, nodes=nodes), self.policy, words=self.words)

    def explained_run(self, job: str, asked: tuple[int, int] | None) -> str:
        """Why a running job has its width; it asked for so many workers at least and at most, as far as is known."""
        return explain_running(self.snapshot, self.policy, job, asked)

    def start_of(self, job: str) -> Moment | None:
        """When a waiting job should start; None where nobody knows, or a person holds it."""
        if self.pending[job].held:
            return None
        if job in self.likely.starts:
            at = self.likely.starts[job]
            return Moment(at=at, by_limit=at > self.now and self._by_limit(job, at, self.likely))
        looked_at_all = self.likely.until >= self.now + HORIZON
        if self.reason(job).kind in _NOT_BY_WORK or (job in self.near and looked_at_all):
            return None
        return self._beyond(job)

    def sure_start_of(self, job: str) -> Moment | None:
        """The same, and how sure it is: as if all jobs were as quick, or as slow, as one in ten."""
        found = self.start_of(job)
        if found is None or found.earliest is not None or found.at <= self.now or found.by_limit:
            return found
        until = tuple(other for other in self.near if self.places[other] <= self.places[job])
        quick, slow = (self._played(until, share).starts.get(job) for share in (_QUICK, _SLOW))
        return Moment(
            at=found.at,
            earliest=found.at if quick is None else min(quick, found.at),
            latest=None if slow is None else max(slow, found.at),
        )

    @cached_property
    def ends(self) -> Mapping[str, Moment]:
        """When each running job that was not asked to stop should be over, as `end_of` has it."""
        found = {name: self.end_of(running) for name, running in self.running.items() if not running.stopping}
        return {name: end for name, end in found.items() if end is not None}

    def latest_of(self, job: str, at: float) -> Moment:
        """A time at which a job starts at the latest, where nobody can tell when it should."""
        over = self._in_its_way(job, (other for other, end in self.ends.items() if end.at <= at))
        last = max(over, key=lambda other: (self.ends[other].at, self._limited(other)), default=None)
        return Moment(at=at, by_limit=last is not None and self._limited(last) and self._surely_over(over, at))

    def rests_on_limits(self, job: str) -> bool:
        """Whether nothing but a time limit says when a job should end: it, or one that its start waits for."""
        if job in self.running:
            return job in self.ends and self.ends[job].by_limit
        waiting, at = self.pending[job], self.likely.starts.get(job)
        return _blind(waiting) or (at is not None and any(map(self._limited, self._over(job, at, self.likely))))

    def _by_limit(self, job: str, at: float, view: Forecast) -> bool:
        """Whether most of a wait is known by time limits alone, and what is estimated should be over by then if slow.

        Followed back from the start: what ends last before it where the job may run, what that one waited for, and so
        on, until nothing but its time limit says when one ends.
        """
        waits, begins = job, at
        while over := self._over(waits, begins, view):
            last = max(over, key=lambda other: (view.ends[other], self._limited(other)))
            if self._limited(last):
                mostly = view.ends[last] - self.now >= (at - self.now) / 2
                return mostly and self._surely_over(self._over(job, at, view), at)
            if view.starts.get(last, begins) >= begins:  # it runs already, or takes no time
                return False
            waits, begins = last, view.starts[last]
        return False

    def _surely_over(self, jobs: Iterable[str], at: float) -> bool:
        """Whether those of some jobs that run are over by then, as slow as one in ten."""
        return all((self.ends[job].latest or at) <= at for job in jobs if job in self.ends)

    def _limited(self, job: str) -> bool:
        return self.ends[job].by_limit if job in self.ends else job in self.pending and _blind(self.pending[job])

    def _over(self, job: str, at: float, view: Forecast) -> list[str]:
        return self._in_its_way(job, (other for other, end in view.ends.items() if self.now < end <= at))

    def _in_its_way(self, job: str, others: Iterable[str]) -> list[str]:
        """Those of some jobs that run, or may run, on nodes that a job accepts; not those that were asked to stop."""
        nodes, found = self._accepted(self.pending[job].demand), []
        for other in others:
            if other in self.pending:
                there = self._accepted(self.pending[other].demand)
            else:
                there = frozenset(name for name, _ in self.running[other].placement if other in self.ends)
            if other != job and not nodes.isdisjoint(there):
                found.append(other)
        return found

    def _accepted(self, demand: Demand) -> frozenset[str]:
        """Names of the nodes that take work and that a demand accepts, now or after maintenance."""
        if demand.constraints not in self._takers:
            accepted = (node.name for node in self.snapshot.nodes if usable(node, demand, self.now, 0.0))
            self._takers[demand.constraints] = frozenset(accepted)
        return self._takers[demand.constraints]

    def end_of(self, running: Running) -> Moment | None:
        """When a run should be over; None where nobody has an idea how long it takes, and nothing ends it.

        By its own word where it gives one, else by its estimate; where there is none, its time limit ends it.
        """
        job, now, workers = running.job, self.now, running.workers
        if (told := self.words.get(job.id)) is not None:
            return told
        limits = [limit for limit in (job.limit, job.max_time) if limit is not None]
        most = max(now, running.since + min(limits)) if limits else math.inf
        if job.estimate is None or workers == 0:
            return Moment(at=most, by_limit=True) if limits and workers else None
        worked, begins, speed = running.worked(now), max(now, running.counted), job.speed(workers)
        early, middle, late = (
            min(most, begins + max(0.0, quantile(job.estimate, worked, q) - worked) / speed)
            for q in (_QUICK, _MIDDLE, _SLOW)
        )
        return Moment(at=middle, earliest=early, latest=late)

    def leaves(self, running: Running) -> Moment | None:
        """When a run leaves its nodes: it should be over, or is asked to stop where their maintenance begins before.

        None where nobody has an idea, and where it was asked to stop already.
        """
        if running.stopping:
            return None
        end = self.end_of(running)
        ahead = maintenance_of(running, self._machines, self.now)
        if ahead is None or (end is not None and end.at <= ahead[0]):
            return end
        return Moment(at=max(self.now, ahead[0]), by_limit=end is None or end.by_limit, stops=True)

    @cached_property
    def _machines(self) -> Mapping[str, Node]:
        return {node.name: node for node in self.snapshot.nodes}

    def _played(self, jobs: tuple[str, ...], share: float) -> Forecast:
        chosen = set(jobs)
        near = replace(self.snapshot, pending=tuple(job for job in self.snapshot.pending if job.id in chosen))
        known = {job: self._work(self.running[job], end, share) for job, end in self.words.items()}
        return forecast(near, self.policy, horizon=HORIZON, share=share, most_events=MOST_EVENTS, known=known)

    def _work(self, running: Running, end: Moment, share: float) -> float:
        """All the work of a run that says when it should be over, as of one that is so quick among those like it."""
        at = {_QUICK: end.earliest, _SLOW: end.latest}.get(share)
        left = max(0.0, (end.at if at is None else at) - max(self.now, running.counted))
        return running.worked(self.now) + left * running.job.speed(running.working)

    def _beyond(self, job: str) -> Moment | None:
        """By the work before it, as if all slots shared it evenly; its error as of a sum of independent jobs."""
        before = self._work_before[self.places[job] - 1]
        slots = sum(node.slots for node in self.snapshot.nodes if node.state == "up")
        if before is None or not slots:
            return None
        work, variance = before
        middle, off = work / slots, 1.28 * math.sqrt(variance) / slots
        now = self.now
        return Moment(at=now + middle, earliest=now + max(0.0, middle - off), latest=now + middle + off)

    @cached_property
    def _work_before(self) -> list[tuple[float, float] | None]:
        """Before each place: slot-seconds that are expected to be done first, and their variance; None: not known."""
        total: tuple[float, float] | None = (0.0, 0.0)
        for running in self.snapshot.running:
            total = _plus(total, running.job, running.worked(self.now))
        found = []
        for job in self.order:
            found.append(total)
            waiting = self.pending[job]
            if not waiting.held:
                total = _plus(total, waiting, waiting.worked)
        return found


def _blind(job: Job) -> bool:
    """Whether its time limit is all that is known of how long it takes."""
    return job.estimate is None and job.limit is not None


def _plus(total: tuple[float, float] | None, job: Job, worked: float) -> tuple[float, float] | None:
    if total is None or job.estimate is None:
        return None
    slots = job.demand.workers_max * job.demand.slots
    work = max(0.0, total_expected(job.estimate, worked) - worked) * slots
    relative = math.expm1(min(job.estimate.error, 3.0) ** 2)
    return total[0] + work, total[1] + work * work * relative
