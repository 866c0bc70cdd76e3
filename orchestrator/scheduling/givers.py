"""Running jobs that could give something up, by rank and by node: looked up once for each decision."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.scheduling.cluster import Placement, workers_of
from orchestrator.scheduling.jobs import Running
from orchestrator.scheduling.late import is_kept
from orchestrator.scheduling.orders.ranking import Key
from orchestrator.spec.policy import Policy

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft


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

    def on(self, node: str) -> int:
        """Workers that it has there."""
        return next((share.workers for share in self.placement if share.node == node), 0)


def goes_before(policy: Policy, newcomer: Key, victim: Key) -> bool:
    """Whether the order allows that a running job of one rank is stopped for a newcomer of another.

    If so, it does for all who rank behind the victim; if not, for nobody who ranks behind the newcomer.
    """
    rules = policy.preemption
    if rules is None or not newcomer < victim:
        return False
    if rules.for_whom == "priority" or policy.order.by != "shortest":
        return True
    if newcomer[0] < victim[0] or newcomer[0] == -math.inf:
        return True  # of higher priority, or overdue: no fraction can be taken of the times that those are ranked by
    return newcomer[1] < math.inf and newcomer[1] <= (1 - rules.margin) * victim[1]


class Givers:
    """Of one decision.

    Attributes:
        all: those that can give something up, before anything was asked of them in this decision.
        wake: when a running job will next have run long enough to give something up, or fall behind by having run.
    """

    def __init__(self, draft: Draft, first: Key | None) -> None:
        """Look them up.

        Args:
            draft: what is decided so far.
            first: the first in the order for whom anybody may be asked; who cannot be asked for it is left out.
                None: anybody may be asked.
        """
        self.wake = math.inf
        self._on: dict[str, dict[str, Giver]] = {}
        self._policy, self._now = draft.policy, draft.now
        self.all = list(self._find(draft, first))
        for giver in self.all:
            self._index(giver)

    def on(self, node: str) -> list[Giver]:
        """Those that may be stopped or shrunk there."""
        return list(self._on.get(node, {}).values())

    def stopped(self, giver: Giver) -> None:
        """It gives no more in this decision."""
        for node, _ in giver.placement:
            del self._on[node][giver.running.job.id]

    def shrunk(self, giver: Giver, keeps: Placement) -> None:
        """It may be asked for more of its workers, and no longer be stopped, in this decision."""
        self.stopped(giver)
        spare = giver.spare - (workers_of(giver.placement) - workers_of(keeps))
        if spare > 0:
            self._index(replace(giver, stops=False, spare=spare, placement=keeps))

    def _index(self, giver: Giver) -> None:
        for node, _ in giver.placement:
            self._on.setdefault(node, {})[giver.running.job.id] = giver

    def _find(self, draft: Draft, first: Key | None) -> Iterable[Giver]:
        elastic, latest = draft.policy.elastic, draft.waiting.latest
        anyone_shrinks = elastic is not None and elastic.shrink == "always"
        top = self._top(draft, first)
        for run in draft.state.running.values():
            if run.keeps is not None or run.job.id in draft.preempts:
                continue
            stops, spare = self._may_stop(draft, run) and run.job.priority < top, self._spare(draft, run)
            if not stops and not spare:
                continue
            if first is not None and not (spare and anyone_shrinks):
                key = latest.key(run, draft.now)
                key = (key[0] + draft.offset_of(run.job), *key[1:])
                if not (first < key if spare else goes_before(draft.policy, first, key)):
                    continue
            yield Giver(run, draft.rank_running(run), stops, spare, run.placement)

    def _top(self, draft: Draft, first: Key | None) -> float:
        """Only runs of lower priority than this may be stopped."""
        rules = self._policy.preemption
        by_priority = first is not None and rules is not None and rules.for_whom == "priority"
        return draft.waiting.top if by_priority else math.inf

    def _may_stop(self, draft: Draft, run: Running) -> bool:
        rules = self._policy.preemption
        if rules is None or run.job.preemptions >= rules.immune_after:
            return False
        if not self._past(run.since + rules.least_run(run.job.preemptions)) or is_kept(
            run, draft.room.layout, self._policy, self._now
        ):
            return False
        if rules.for_whom == "earlier":
            sinks = draft.ranking.sinks(run, self._now)
            self.wake = min(self.wake, sinks if sinks > self._now else self._now + self._policy.round)
        return True

    def _spare(self, draft: Draft, run: Running) -> int:
        rules = self._policy.elastic
        least, most = run.job.demand.workers_min, run.job.demand.workers_max
        if rules is None or least == most or rules.shrink == "never" or run.pinned:
            return 0
        spare = run.workers - rules.fewest(least, most)
        if spare <= 0 or not self._past(run.resized + rules.between):
            return 0
        return spare

    def _past(self, due: float) -> bool:
        if due <= self._now:
            return True
        self.wake = min(self.wake, due)
        return False
