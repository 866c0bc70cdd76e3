"""What is to be expected of a job that is not over yet, given how long it has worked already."""

from __future__ import annotations

import math
from statistics import NormalDist

from orchestrator.scheduling.jobs import Estimate, within_reason

_NORMAL = NormalDist()
_FAR = 30.0
"""Beyond so many standard deviations Q is lost numerically; what is left of ln X is as good as exponential there, with
mean error / z."""


def quantile(estimate: Estimate, worked: float, share: float) -> float:
    """The total work that this share of all jobs stays below, of those that are not over after `worked` seconds.

    With X = seconds * exp(error * Z), z = ln(worked / seconds) / error and Q(z) = P(Z > z), it is the x of
    P(X > x) = (1 - share) * Q(z). It is finite for any estimate, as the expectation is.
    """
    median, sigma = within_reason(estimate)
    if sigma <= 0:
        return max(estimate.seconds, worked)
    if worked <= 0:
        return median * math.exp(sigma * _NORMAL.inv_cdf(share))
    z = math.log(worked / median) / sigma
    if z > _FAR:
        return worked * math.exp(-math.log(1.0 - share) * sigma / z)
    beyond = (1.0 - share) * math.erfc(z / math.sqrt(2)) / 2
    return max(worked, median * math.exp(-sigma * _NORMAL.inv_cdf(beyond)))
