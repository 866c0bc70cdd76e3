"""Which reason a waiting job has: its own, its team's, the nodes', or the queue's."""

from __future__ import annotations

from orchestrator.lifecycle.reasons import Waiting, backing_off, releasing, unmet_dependencies, utc
from orchestrator.scheduling.claims import valid_claim
from orchestrator.scheduling.cluster import Demand, Placement
from orchestrator.scheduling.explain.obstacles import Why, obstacle
from orchestrator.scheduling.explain.scene import Scene
from orchestrator.scheduling.explain.standing import remark
from orchestrator.scheduling.explain.words import names, needs, places
from orchestrator.scheduling.hurdles import Hurdle, hurdle
from orchestrator.scheduling.jobs import Job

_SHORTAGES = frozenset(
    {Waiting.SLOTS, Waiting.FRAGMENTED, Waiting.MEMORY, Waiting.CPUS, Waiting.CONSTRAINTS},
)


class Diagnosis:
    """Answers for one scene; jobs that ask for the same are answered once."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._on_nodes: dict[tuple[Demand, float | None], Why | None] = {}
        self._in_teams: dict[tuple[Demand, str], Why | None] = {}
        self._remarks: dict[str, str] = {}
        self._queue = self._behind_head()

    def why(self, job: Job) -> Why:
        """Why a job of `scene.waiting` waits."""
        scene = self._scene
        if (own := _own(job, scene.now)) is not None:
            return own
        if (claim := valid_claim(job, scene.after.nodes, scene.now)) is not None:
            return self._claimed(claim)
        found = self._of_many(job)
        if found is None:
            return self._queue or Why(Waiting.TURN, "has room; jobs before it come first", "its turn comes")
        strict = scene.policy.backfill == "none" and found.kind in _SHORTAGES
        if strict and self._queue is not None and scene.head is not None and job.id != scene.head.id:
            return self._queue
        return found

    def _of_many(self, job: Job) -> Why | None:
        by_team = (job.demand, job.team)
        if by_team not in self._in_teams:
            self._in_teams[by_team] = self._team(job)
        if (found := self._in_teams[by_team]) is not None:
            return found
        limit = None if self._scene.floor.horizon(job.limit) == 0 else job.limit
        if (job.demand, limit) not in self._on_nodes:
            self._on_nodes[job.demand, limit] = obstacle(self._scene, job.demand, job.limit)
        found = self._on_nodes[job.demand, limit]
        if found is None or found.kind not in _SHORTAGES:
            return found
        return found._replace(text=found.text + self._remark(job.team))

    def _remark(self, team: str) -> str:
        if team not in self._remarks:
            standing = self._scene.teams.of(team)
            self._remarks[team] = remark(standing, self._scene.policy.order.by == "fair")
        return self._remarks[team]

    def _team(self, job: Job) -> Why | None:
        """Its team, or one above it, has a limit that is too low for it: at all, or now."""
        wanted = job.demand.workers_min * job.demand.slots
        asked = needs(job.demand, self._scene.whole.count(job.demand, 0.0), self._scene.slot_kind)
        if (team := self._scene.teams.too_small(job.team, wanted)) is not None:
            text = f"{asked}; team {team.name} may never hold more than {team.limit}"
            return Why(Waiting.TOO_LARGE, text, f"over the limit of team {team.name}")
        if (full := self._scene.teams.full(job.team, wanted)) is not None:
            text = f"{asked}; team {full.team.name} holds {full.holds} of at most {full.team.limit}"
            return Why(Waiting.LIMIT, text, f"team {full.team.name} is at its limit")
        return None

    def _claimed(self, claim: Placement) -> Why:
        nodes = {node for node, _ in claim}
        asked = [r for r in self._scene.after.running.values() if r.keeps is not None]
        leaving = [r for r in asked if any(node in nodes for node, _ in r.placement)]
        said = [f"{r.job.id} {'stops' if r.stopping else f'shrinks to {r.workers}'}" for r in leaving]
        freed = f": {names(sorted(said))}" if said else ""
        return Why(Waiting.CLAIMED, f"its room on {places(claim)} is being freed{freed}", "its room is being freed")

    def _behind_head(self) -> Why | None:
        """What keeps back a job that would have room."""
        scene, head = self._scene, self._scene.head
        if head is None:
            return None
        if scene.policy.backfill in {"none", "skip"}:
            found = obstacle(scene, head.demand, head.limit)
            ask = f", which {found.text}" if found is not None else ""
            return Why(Waiting.TURN, f"waits behind {head.id}, the first in the queue{ask}", f"behind {head.id}")
        until = scene.floor.horizon(head.limit)
        opening = scene.ends.opening(head.demand, until)
        at = f" at {utc(opening.at)}" if opening is not None else ""
        text = f"there is room, but it could delay the reservation of {head.id}{at}"
        return Why(Waiting.RESERVATION, text, f"would delay {head.id}")


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
