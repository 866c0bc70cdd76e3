"""What a trial takes of a run's slots, in the units of the Ray that it runs on."""

from __future__ import annotations

import math

from orchestrator.spec.search import TrialShare

_UNIT = 10_000
"""Ray counts in parts of 1 / 10,000."""


def trial_resources(share: TrialShare, cores: int) -> dict[str, float]:
    """What Ray reserves for a trial.

    Args:
        share: of the trial.
        cores: that one CPU of Ray stands for: all of a worker in the search's own Ray, 1 on a cluster's.
    """
    # Rounded down, so that as many fit as the cores say.
    return {"cpu": math.floor(share.cpus / cores * _UNIT) / _UNIT, "gpu": share.gpus}
