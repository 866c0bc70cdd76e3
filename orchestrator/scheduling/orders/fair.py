"""Fair share: several factors, of which the team's share of late is the heaviest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.scheduling.orders.ranking import Key
from orchestrator.scheduling.orders.simple import Submission
from orchestrator.scheduling.sharing.shares import factors
from orchestrator.scheduling.sharing.usage import used

if TYPE_CHECKING:
    from orchestrator.scheduling.jobs import Job
    from orchestrator.scheduling.state import State

_HOUR = 3600.0


@dataclass(frozen=True)
class Fair(Submission):
    """Higher points first, after Slurm's multi-factor priority with its fair tree.

        points = age_weight * hours waited + priority_weight * (priority + waited / aging)
                 + size_weight * slots + share_weight * factor(team)

    where slots are those of the fewest workers, and the factor, in (0, 1], is the place of the team in a walk of the
    tree by usage against share (`sharing.shares.factors`). All age at the same rate, so that only the differences of
    submission times count, and within a team (a group) the order never changes while jobs wait.
    """

    age_weight: float
    share_weight: float
    priority_weight: float
    size_weight: float
    half_life: float
    aging: float | None = None

    def group(self, job: Job) -> str:
        """Its team."""
        return job.team

    def key(self, job: Job, now: float) -> Key:
        """The points that it lacks, its team's share aside."""
        per_second = self.age_weight / _HOUR
        if self.aging is not None:
            per_second += self.priority_weight / self.aging
        slots = job.demand.workers_min * job.demand.slots
        points = self.priority_weight * job.priority + self.size_weight * slots
        return (per_second * job.submitted - points, job.sequence)

    def offsets(self, state: State, now: float) -> Mapping[str, float]:
        """What each team's place takes off."""
        usage = used(state.usage, state.running.values(), now, self.half_life)
        teams = dict.fromkeys(state.queued, 0.0) | usage
        return {team: -self.share_weight * factor for team, factor in factors(state.tree, teams).items()}

    def until(self, job: Job, now: float) -> float:
        """Never, within its team."""
        return math.inf
