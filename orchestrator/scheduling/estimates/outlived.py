"""What is to be expected of a job that is not over yet, given how long it has worked already."""

from __future__ import annotations

import math
from statistics import NormalDist

from orchestrator.scheduling.jobs import Estimate, total_expected

_NORMAL = NormalDist()


def quantile(estimate: Estimate, worked: float, share: float) -> float:
    """The total work that this share of all jobs stays below, of those that are not over after `worked` seconds."""
    if estimate.error <= 0 or estimate.seconds <= 0:
        return max(estimate.seconds, worked)
    below = 0.0 if worked <= 0 else _NORMAL.cdf(math.log(worked / estimate.seconds) / estimate.error)
    place = below + share * (1.0 - below)
    if place >= 1.0 - 1e-12:  # far beyond every expectation
        return max(worked, total_expected(estimate, worked))
    return max(worked, estimate.seconds * math.exp(estimate.error * _NORMAL.inv_cdf(place)))
