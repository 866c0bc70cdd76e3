"""Which reason a waiting job has: its own, its team's, the nodes', or the queue's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable
from functools import cached_property
from typing import NamedTuple

from orchestrator.lifecycle.reasons import Waiting, backing_off, duration, releasing, unmet_dependencies, utc
from orchestrator.scheduling.backfill.guard import Reservation
from orchestrator.scheduling.cluster import Demand, Placement
from orchestrator.scheduling.expected import expected_seconds
from orchestrator.scheduling.explain.obstacles import Why, obstacle
from orchestrator.scheduling.explain.scene import Scene
from orchestrator.scheduling.explain.standing import protection, remark
from orchestrator.scheduling.explain.words import Takes, names, needs, places
from orchestrator.scheduling.hurdles import Hurdle, hurdle
from orchestrator.scheduling.jobs import Job

_SHORTAGES = frozenset(
    {Waiting.SLOTS, Waiting.FRAGMENTED, Waiting.MEMORY, Waiting.CPUS, Waiting.CONSTRAINTS},
)


_ITS_TURN = Why(Waiting.TURN, "has room, and is looked at again when something changes", "its turn comes")


class Diagnosis:
    """Answers for one scene; jobs that ask for the same are answered once."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._on_nodes: dict[tuple[Demand, Takes | None], Why | None] = {}
        self._known: dict[tuple[Hashable, str], Why | None] = {}
        self._remarks: dict[str, str] = {}

    def why(self, job: Job) -> Why:
        """Why a job of `scene.waiting` waits."""
        scene = self._scene
        if (own := _own(job, scene.now)) is not None:
            return own
        if (claim := scene.claims.get(job.id)) is not None:
            return self._claimed(claim)
        found = self._of_many(job)
        if found is None:
            return self._passed_over(job)
        if found.kind not in _SHORTAGES:
            return found
        if scene.policy.backfill == "none" and self._head is not None and job.id != self._head.job:
            return self._head.why
        found = found._replace(text=found.text + self._before_it.get(job.id, ""))
        reserved = scene.reservations.get(job.id)
        return found if reserved is None or reserved.at <= scene.now else self._reserved(found, reserved)

    def _reserved(self, found: Why, reserved: Reservation) -> Why:
        latest = " at the latest (time limits)" if self._scene.goes_by_limits(reserved) else ""
        text = f"{found.text}; reserved for it from {utc(reserved.at)}{latest} on {places(reserved.placement)}"
        return found._replace(text=text, expected=reserved.at)

    def _passed_over(self, job: Job) -> Why:
        """There is room for it, and others have a better right to it."""
        before = self._scene.reservations
        if not before:
            return _ITS_TURN if self._head is None or self._head.job == job.id else self._head.why
        first = next(iter(before.values()))
        more = f" or of {len(before) - 1} others" if len(before) > 1 else ""
        takes = expected_seconds(job, job.demand.workers_min)
        whose = "the cluster's limits.max_time" if takes == job.max_time else "its limit"
        by_limit = f"it may take {duration(takes)} by {whose}" if job.limit is not None else ""
        likely = by_limit or f"it should take {duration(takes)}"
        lasts = "nobody knows how long it takes" if math.isinf(takes) else likely
        text = f"has room, but would delay the reservation of {first.job} at {utc(first.at)}{more}: {lasts}"
        return Why(Waiting.RESERVATION, text, f"would delay {first.job}")

    def _of_many(self, job: Job) -> Why | None:
        key = (self._scene.question(job), job.team)
        if key not in self._known:
            self._known[key] = self._team(job) or self._nodes(job)
        return self._known[key]

    def _nodes(self, job: Job) -> Why | None:
        demand, takes = self._scene.asked(job), self._scene.takes(job)
        if (demand, takes) not in self._on_nodes:
            self._on_nodes[demand, takes] = obstacle(self._scene, demand, takes)
        found = self._on_nodes[demand, takes]
        if found is None or found.kind not in _SHORTAGES:
            return found
        return found._replace(text=found.text + _floored(job, demand) + self._remark(job.team))

    def _remark(self, team: str) -> str:
        if team not in self._remarks:
            standing = self._scene.teams.of(team)
            said = remark(standing, self._scene.policy.order.by == "fair")
            if self._scene.policy.preemption is not None:
                said += protection(self._scene.teams.covered(team))
            self._remarks[team] = said
        return self._remarks[team]

    @cached_property
    def _before_it(self) -> dict[str, str]:
        """What is said of jobs that their team's limit keeps once those of the team that are before them run."""
        scene, found = self._scene, dict[str, str]()
        ahead: dict[str, list[str]] = {}
        wanted: Counter[str] = Counter()
        for job in filter(scene.may_run, scene.waiting if scene.teams.bounded else ()):
            demand = scene.asked(job)
            asks = demand.workers_min * demand.slots
            for name, limit in [(team.name, team.limit) for team in scene.teams.chain(job.team) if team.limit]:
                jobs, holds = ahead.setdefault(name, []), scene.teams.holds(name)
                if jobs and holds + wanted[name] + asks > limit:
                    they = f"{names(jobs)} before it {'asks' if len(jobs) == 1 else 'ask'} for {wanted[name]}"
                    found.setdefault(job.id, f"; team {name} holds {holds} of at most {limit}, and {they}")
                jobs.append(job.id)
                wanted[name] += asks
        return found

    def _team(self, job: Job) -> Why | None:
        """Its team, or one above it, has a limit that is too low for it: at all, or now."""
        demand = self._scene.asked(job)
        wanted = demand.workers_min * demand.slots
        if (team := self._scene.teams.too_small(job.team, wanted)) is not None:
            text = f"{self._asks(demand)}; team {team.name} may never hold more than {team.limit}"
            return Why(Waiting.TOO_LARGE, text, f"over the limit of team {team.name}")
        if (full := self._scene.teams.full(job.team, wanted)) is not None:
            text = f"{self._asks(demand)}; team {full.team.name} holds {full.holds} of at most {full.team.limit}"
            return Why(Waiting.LIMIT, text, f"team {full.team.name} is at its limit")
        return None

    def _asks(self, demand: Demand) -> str:
        return needs(demand, self._scene.whole.count(demand, 0.0), self._scene.slot_kind)

    def _claimed(self, claim: Placement) -> Why:
        nodes = {node for node, _ in claim}
        asked = [r for r in self._scene.after.running.values() if r.keeps is not None]
        leaving = [r for r in asked if any(node in nodes for node, _ in r.placement)]
        said = [f"{r.job.id} {'stops' if r.stopping else f'is resized to {r.workers}'}" for r in leaving]
        freed = f": {names(sorted(said))}" if said else ""
        return Why(Waiting.CLAIMED, f"its room on {places(claim)} is being freed{freed}", "its room is being freed")

    @cached_property
    def _head(self) -> _Head | None:
        """The first one that waits for room, and what those wait for whom it holds back."""
        head = self._scene.head
        if head is None:
            return None
        found = obstacle(self._scene, self._scene.asked(head), self._scene.takes(head))
        which = f", which {found.text}" if found is not None else ""
        text = f"waits behind {head.id}, the first in the queue{which}"
        return _Head(head.id, Why(Waiting.TURN, text, f"behind {head.id}"))


class _Head(NamedTuple):
    job: str
    why: Why


def _own(job: Job, now: float) -> Why | None:
    """What keeps it whatever is free."""
    match hurdle(job, now):
        case Hurdle.HELD:
            return Why(Waiting.HELD, "is held until someone releases it", "held")
        case Hurdle.RELEASING:
            return Why(Waiting.RELEASE, releasing().text, "its last run still holds slots")
        case Hurdle.DEPENDENCY:
            return Why(Waiting.DEPENDENCY, unmet_dependencies(job.waits_for).text, f"after {names(job.waits_for)}")
        case Hurdle.BACKOFF:
            assert job.not_before is not None
            found = backing_off(job.not_before, job.failures)
            return Why(Waiting.BACKOFF, found.text, f"not before {utc(job.not_before)}", until=job.not_before)
    return None


def _floored(job: Job, demand: Demand) -> str:
    """That the policy's floor asks for more than the job does."""
    if demand.workers_min == job.demand.workers_min:
        return ""
    least = job.demand.workers_min
    return f"; the policy starts it with {demand.workers_min} workers or more, though {least} would do"
