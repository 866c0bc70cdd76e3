"""When a running job ends: what it tells of itself and what was estimated before, each by how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from orchestrator.scheduling.estimates.errors import interval
from orchestrator.scheduling.estimates.forecast import RunEstimate

_OWN_ERROR = 0.08  # of a rate that was watched for long: evaluations, other load
_FIRST_ERROR = 0.6  # of one that was watched for a moment
_AT_ONCE = 0.01
_WATCHED = 15.0  # seconds after which the first uncertainty is halved


@dataclass(frozen=True, slots=True)
class Watched:
    """What a run told of itself.

    Attributes:
        done: of its work, between 0 and 1.
        eta: seconds left by its own rate when it told; None: it knows no rate yet.
        told_at: when it told, seconds since the epoch.
        since: when it began to work, seconds since the epoch.
        workers: that it has.
    """

    done: float
    eta: float | None
    told_at: float
    since: float
    workers: int


@dataclass(frozen=True, slots=True)
class Eta:
    """When it ends.

    Attributes:
        seconds: left, the median.
        low: 1 of 10 ends earlier.
        high: 1 of 10 ends later.
    """

    seconds: float
    low: float
    high: float


def eta(watched: Watched, estimate: RunEstimate | None, now: float) -> Eta | None:
    """Seconds that are left; None where neither the run nor the estimate says anything.

    The logarithms of the two are weighted by the inverse of their variances; a run's own rate is worth little in its
    first seconds, and nearly everything after a minute.

    Args:
        watched: the run.
        estimate: of its job, made before it ran.
        now: seconds since the epoch.
    """
    passed = max(0.0, now - watched.told_at)
    found: list[tuple[float, float]] = []
    if watched.eta is not None:
        seen = max(0.0, watched.told_at - watched.since)
        found.append((watched.eta, math.hypot(_OWN_ERROR, _FIRST_ERROR / (1 + seen / _WATCHED))))
    if estimate is not None:
        left = max(0.0, 1.0 - watched.done) * max(0.0, estimate.at(watched.workers) - estimate.startup)
        found.append((left, max(estimate.error, 1e-3)))
    if not found:
        return None
    total = sum(1 / error**2 for _, error in found)
    middle = math.exp(sum(math.log(max(left, _AT_ONCE)) / error**2 for left, error in found) / total)
    low, high = interval(middle, math.sqrt(1 / total))
    return Eta(max(0.0, middle - passed), max(0.0, low - passed), max(0.0, high - passed))
