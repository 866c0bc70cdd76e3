"""Running jobs that could give something up, by rank and by node: looked up once for each decision."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from orchestrator.scheduling.cluster import Placement, workers_of
from orchestrator.scheduling.jobs import Running
from orchestrator.scheduling.orders.ranking import Key
from orchestrator.spec.policy import Policy


@dataclass(frozen=True, slots=True)
class Giver:
    """A running job that may be asked for something.

    Attributes:
        running: the job.
        rank: as if it waited.
        stops: whether it has run long enough, and was not stopped too often, to be stopped now.
        spare: workers that it can do without now: it has more than its fewest, and its width is not too new.
        placement: what it holds, less what it was asked for in this decision.
    """

    running: Running
    rank: Key
    stops: bool
    spare: int
    placement: Placement

    @property
    def slots(self) -> int:
        """Of one worker."""
        return self.running.job.demand.slots

    @property
    def asked(self) -> bool:
        """Whether it shrinks already by this decision."""
        return self.placement != self.running.placement

    def on(self, node: str) -> int:
        """Workers that it has there."""
        return next((share.workers for share in self.placement if share.node == node), 0)


class Givers:
    """Of one decision.

    Attributes:
        last_first: those that may be stopped, last in the order first.
        shrinkable: slots that elastic jobs can do without, by node.
        failed: for each kind of job, the rank of the first one that no room could be made for in this decision.
        wake: when a running job will next have run long enough to give something up, or fall behind by having run.
    """

    def __init__(
        self,
        running: Iterable[Running],
        policy: Policy,
        rank: Callable[[Running], Key],
        sinks: Callable[[Running, float], float],
        now: float,
    ) -> None:
        self.wake = math.inf
        self.failed: dict[tuple[object, ...], Key] = {}
        self.shrinkable: dict[str, int] = {}
        self._on: dict[str, dict[str, Giver]] = {}
        self._policy, self._rank, self._sinks, self._now = policy, rank, sinks, now
        givers = [giver for run in running if run.keeps is None and (giver := self._giver(run)) is not None]
        for giver in givers:
            self._index(giver)
        self.last_first = sorted((giver for giver in givers if giver.stops), key=lambda g: g.rank, reverse=True)

    def on(self, node: str) -> list[Giver]:
        """Those that may be stopped or shrunk there."""
        return list(self._on.get(node, {}).values())

    def stopped(self, giver: Giver) -> None:
        """It gives no more in this decision; and what failed before may now succeed."""
        self.failed.clear()
        self._forget(giver)

    def shrunk(self, giver: Giver, keeps: Placement) -> None:
        """It may be asked for more of its workers, and no longer be stopped, in this decision."""
        self.failed.clear()
        self._forget(giver)
        spare = giver.spare - (workers_of(giver.placement) - workers_of(keeps))
        if spare > 0:
            self._index(replace(giver, stops=False, spare=spare, placement=keeps))

    def _index(self, giver: Giver) -> None:
        for node, workers in giver.placement:
            self._on.setdefault(node, {})[giver.running.job.id] = giver
            if giver.spare:
                slots = min(workers, giver.spare) * giver.slots
                self.shrinkable[node] = self.shrinkable.get(node, 0) + slots

    def _forget(self, giver: Giver) -> None:
        name = giver.running.job.id
        for node, workers in giver.placement:
            del self._on[node][name]
            if giver.spare:
                self.shrinkable[node] -= min(workers, giver.spare) * giver.slots
        if giver.stops:
            self.last_first = [other for other in self.last_first if other.running.job.id != name]

    def _giver(self, run: Running) -> Giver | None:
        stops, spare = self._may_stop(run), self._spare(run)
        return Giver(run, self._rank(run), stops, spare, run.placement) if stops or spare else None

    def _may_stop(self, run: Running) -> bool:
        rules = self._policy.preemption
        if rules is None or run.job.preemptions >= rules.immune_after:
            return False
        if not self._past(run.since + rules.min_run):
            return False
        if rules.for_whom == "earlier":
            sinks = self._sinks(run, self._now)
            self.wake = min(self.wake, sinks if sinks > self._now else self._now + self._policy.round)
        return True

    def _spare(self, run: Running) -> int:
        rules = self._policy.elastic
        if rules is None or rules.shrink == "never" or run.pinned:
            return 0
        spare = run.workers - rules.fewest(run.job.demand.workers_min, run.job.demand.workers_max)
        return spare if spare > 0 and self._past(run.resized + rules.between) else 0

    def _past(self, due: float) -> bool:
        if due <= self._now:
            return True
        self.wake = min(self.wake, due)
        return False
