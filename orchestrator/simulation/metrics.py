"""Figures of a simulation: how long jobs took and waited, how well the cluster was used, how fair it was."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.simulation.outcomes import Outcome, Result

BOUND = 10.0
"""Seconds below which a run counts as this long in the bounded slowdown (Feitelson, "Metrics for Parallel Job
Scheduling and Their Convergence", JSSPP 2001)."""
WIDE = 8
"""Slots above which a job counts as wide: it needs more than one ordinary node."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution in four numbers; the p-th percentile is the smallest value that p % do not exceed.

    Attributes:
        mean: the average.
        median: the 50th percentile.
        p99: the 99th.
        most: the largest.
    """

    mean: float = 0.0
    median: float = 0.0
    p99: float = 0.0
    most: float = 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What a policy made of a load.

    Attributes:
        jobs: that ended.
        unfinished: that came and did not end.
        killed: ended by their time limit or as the trace says.
        jct: seconds from submission to end.
        wait: seconds from submission to the first start.
        time_lost: JCT minus duration, seconds: waiting, narrow widths, charges, work done twice.
        wide_time_lost: the same, of jobs above eight slots; None where there are none.
        slowdown: bounded: max(1, JCT / max(duration, 10 s)).
        makespan: seconds from the first arrival to the last end.
        utilisation: share of the capacity that was held; nodes that are down have none.
        useful: share of the capacity that did work which was kept: held, less what was lost and charged.
        fragmentation: see `observers.Fragmentation`; None where it was not looked at.
        fairness: rho of Themis (Mahajan et al., NSDI 2020, section 3): JCT divided by the time that the job would have
            taken with an N-th of the cluster for itself, N the jobs in the system, averaged over its stay. A share
            below what the job asks for is taken as time slices: rho = JCT / (duration * max(1, slots * N / capacity)).
            1 or less: no worse than a cluster of its own.
        preemptions: in all.
        resizes: in all.
        node_failures: in all.
        lost_work: slot-seconds of work thrown away by preemptions and failures.
        charged: slot-seconds held without progress after preemptions, failures and resizes.
        events: of the simulation.
    """

    jobs: int
    unfinished: int
    killed: int
    jct: Distribution
    wait: Distribution
    time_lost: Distribution
    wide_time_lost: Distribution | None
    slowdown: Distribution
    makespan: float
    utilisation: float
    useful: float
    fragmentation: float | None
    fairness: Distribution
    preemptions: int
    resizes: int
    node_failures: int
    lost_work: float
    charged: float
    events: int


UNITS: Mapping[str, str] = {
    **dict.fromkeys(("jct", "wait", "time_lost", "wide_time_lost", "makespan"), "seconds"),
    **dict.fromkeys(("lost_work", "charged"), "slot-seconds"),
    **dict.fromkeys(("utilisation", "useful", "fragmentation"), "share, 0 to 1"),
    **dict.fromkeys(("slowdown", "fairness"), "ratio"),
    **dict.fromkeys(("jobs", "unfinished", "killed"), "jobs"),
    **dict.fromkeys(("preemptions", "resizes", "node_failures", "events"), "times"),
}
"""What each of the figures is in."""


def distribution(values: Iterable[float]) -> Distribution:
    """Of these numbers; zeros where there are none."""
    ordered = sorted(values)
    if not ordered:
        return Distribution()
    return Distribution(
        math.fsum(ordered) / len(ordered), percentile(ordered, 50), percentile(ordered, 99), float(ordered[-1])
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest rank: the smallest value that so many percent do not exceed.

    Args:
        ordered: ascending, at least one.
        percent: above 0, at most 100.
    """
    return float(ordered[math.ceil(len(ordered) * percent / 100) - 1])


def figures(result: Result, *, fragmentation: float | None = None) -> Figures:
    """Of a result.

    Args:
        result: what the engine yielded.
        fragmentation: what its observer found.
    """
    outcomes = result.outcomes
    last = max((outcome.ended for outcome in outcomes), default=result.began)
    ended = result.ended if result.stopped else last
    capacity = result.capacity
    wide = [o.time_lost for o in outcomes if o.slots > WIDE]
    slots = capacity / (result.ended - result.began) if result.ended > result.began else 0.0
    return Figures(
        jobs=len(outcomes),
        unfinished=len(result.unfinished),
        killed=sum(o.ends == "killed" for o in outcomes),
        jct=distribution(o.jct for o in outcomes),
        wait=distribution(o.wait for o in outcomes),
        time_lost=distribution(o.time_lost for o in outcomes),
        wide_time_lost=distribution(wide) if wide else None,
        slowdown=distribution(max(1.0, o.jct / max(o.duration, BOUND)) for o in outcomes),
        makespan=ended - result.began,
        utilisation=result.used / capacity if capacity else 0.0,
        useful=(result.used - result.lost - result.charged) / capacity if capacity else 0.0,
        fragmentation=fragmentation,
        fairness=distribution(finish_time_ratio(o, slots) for o in outcomes if o.duration > 0),
        preemptions=sum(o.preemptions for o in outcomes),
        resizes=sum(o.resizes for o in outcomes),
        node_failures=result.node_failures,
        lost_work=result.lost,
        charged=result.charged,
        events=result.events,
    )


def finish_time_ratio(outcome: Outcome, capacity: float) -> float:
    """Rho of Themis for one job.

    Args:
        outcome: of the job.
        capacity: slots of the cluster, averaged over time.
    """
    slices = outcome.slots * outcome.contenders / capacity if capacity else 1.0
    return outcome.jct / (outcome.duration * max(1.0, slices))
