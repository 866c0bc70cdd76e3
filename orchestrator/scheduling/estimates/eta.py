"""When a running job ends: what it tells of itself and what was estimated before, each by how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from orchestrator.scheduling.estimates.errors import QUANTILE_10, interval
from orchestrator.scheduling.estimates.forecast import RunEstimate
from orchestrator.scheduling.estimates.outlived import quantile
from orchestrator.scheduling.jobs import Estimate

_OWN_ERROR = 0.08  # of a rate that was watched for long: evaluations, other load
_FIRST_ERROR = 0.6  # of one that was watched for a moment
_AT_ONCE = 0.01
_WATCHED = 15.0  # seconds after which the first uncertainty is halved


@dataclass(frozen=True, slots=True)
class Watched:
    """What a run told of itself.

    Attributes:
        done: of its work, between 0 and 1; None: it tells of none, and what it has run is all that is known.
        eta: seconds left by its own rate when it told; None: it knows no rate yet.
        told_at: when it told, seconds since the epoch.
        since: when it began to work, seconds since the epoch.
        workers: that it has.
    """

    done: float | None
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
    if watched.done is None:  # the expectation is one of this moment, and its own word is brought to it
        own = None if watched.eta is None else max(0.0, watched.eta - passed)
        watched, passed = replace(watched, eta=own, told_at=max(now, watched.told_at)), 0.0
    found: list[tuple[float, float]] = []
    if watched.eta is not None:
        seen = max(0.0, watched.told_at - watched.since)
        found.append((watched.eta, math.hypot(_OWN_ERROR, _FIRST_ERROR / (1 + seen / _WATCHED))))
    if estimate is not None:
        found.append(_expected(watched, estimate))
    if not found:
        return None
    total = sum(1 / error**2 for _, error in found)
    middle = math.exp(sum(math.log(max(left, _AT_ONCE)) / error**2 for left, error in found) / total)
    low, high = interval(middle, math.sqrt(1 / total))
    return Eta(max(0.0, middle - passed), max(0.0, low - passed), max(0.0, high - passed))


def _expected(watched: Watched, estimate: RunEstimate) -> tuple[float, float]:
    """Seconds that are left by the estimate, and the standard deviation of their logarithm.

    A run that tells of nothing and has outlived its estimate is not about to end: what counts is how long those take
    that are not over after so long.
    """
    error, total = max(estimate.error, 1e-3), max(_AT_ONCE, estimate.at(watched.workers) - estimate.startup)
    if watched.done is not None:
        return max(0.0, 1.0 - watched.done) * total, error
    worked = max(0.0, watched.told_at - watched.since)
    expects = Estimate(total, error)
    low, middle, high = (max(_AT_ONCE, quantile(expects, worked, share) - worked) for share in (0.1, 0.5, 0.9))
    return middle, max(error, math.log(high / low) / (2 * QUANTILE_10))
