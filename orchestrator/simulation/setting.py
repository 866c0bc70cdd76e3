"""What all policies of a comparison have in common: a cluster, the load that comes to it, and what happens to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from orchestrator.base.errors import UsageError
from orchestrator.scheduling.cluster import Node
from orchestrator.scheduling.teams import Team
from orchestrator.simulation.clusters import Cluster
from orchestrator.simulation.guesses import Guesses
from orchestrator.simulation.loads import Load, Shapes, make_load
from orchestrator.simulation.traces.trace import TraceJob
from orchestrator.simulation.truth import Charges, Drain, Faults


@dataclass(frozen=True)
class Setting:
    """What is simulated. All times are seconds on the load's clock.

    Attributes:
        nodes: of the cluster, with their windows of maintenance.
        load: that comes.
        teams: of the cluster.
        charges: what decisions cost.
        faults: of nodes.
        drains: of nodes.
        max_workers: no run gets more; None: no limit.
    """

    nodes: tuple[Node, ...]
    load: Load
    teams: tuple[Team, ...] = ()
    charges: Charges = field(default_factory=Charges)
    faults: Faults | None = None
    drains: tuple[Drain, ...] = ()
    max_workers: int | None = None

    def document(self) -> dict[str, object]:
        """What happens to all policies alike, as JSON values: times in seconds on the load's clock; None: for good."""
        drains = [{**asdict(drain), "end": drain.end if drain.end < math.inf else None} for drain in self.drains]
        faults = None if self.faults is None else asdict(self.faults)
        return {"charges": asdict(self.charges), "faults": faults, "drains": drains}


@dataclass(frozen=True)
class Upkeep:
    """What operators do with the nodes.

    Attributes:
        begin: when the first job comes, seconds since the epoch: it places the maintenance of the cluster, which is
            left out where it is None.
        drains: of nodes; seconds since the first job came.
    """

    begin: float | None = None
    drains: tuple[Drain, ...] = ()


def make_setting(
    jobs: Sequence[TraceJob],
    cluster: Cluster,
    *,
    estimates: Guesses | None = None,
    shapes: Shapes | None = None,
    charges: Charges | None = None,
    faults: Faults | None = None,
    upkeep: Upkeep | None = None,
) -> Setting:
    """A load on a cluster.

    Args:
        jobs: by time of submission.
        cluster: that they come to.
        estimates: what the scheduler is told; default: the truth with an error of 0.5.
        shapes: whether widths may be chosen.
        charges: what decisions cost.
        faults: of nodes.
        upkeep: of the nodes.

    Raises:
        UsageError: no job fits.
    """
    upkeep = upkeep or Upkeep()
    load = make_load(jobs, cluster.nodes, estimates=estimates, shapes=shapes, max_time=cluster.max_time)
    if not load.jobs:
        raise UsageError("no job of the load fits on this cluster", hint="give it more or larger nodes")
    first = load.jobs[0].job.submitted
    nodes = cluster.nodes if upkeep.begin is None else cluster.maintained(first - upkeep.begin)
    drains = tuple(replace(drain, start=first + drain.start, end=first + drain.end) for drain in upkeep.drains)
    return Setting(nodes, load, cluster.teams, charges or Charges(), faults, drains, cluster.max_workers)
