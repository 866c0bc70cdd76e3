"""What a trial takes of a run's slots, in the units of the search's Ray, and how many run at once."""

from __future__ import annotations

import math

from orchestrator.spec.regnet import RegNetWorkload


def trial_resources(workload: RegNetWorkload) -> dict[str, float]:
    """What Ray reserves for a trial; one CPU of Ray is a slot with all cores of a worker.

    Args:
        workload: with a search.
    """
    share = workload.trial_share
    # Rounded down to what Ray can count, so that as many fit as the cores say.
    cpu = math.floor(share.cpus / workload.resources.cpus_per_worker * 10_000) / 10_000
    return {"cpu": cpu, "gpu": share.gpus}


def trials_at_once(workload: RegNetWorkload, slots: int) -> int:
    """How many trials a run with so many slots has at once.

    Args:
        workload: with a search.
        slots: of the run, each a worker's cores and GPUs.
    """
    has, search = workload.resources, workload.search
    assert search is not None
    fit = workload.trial_share.at_once(slots * has.cpus_per_worker, slots * has.gpus_per_worker)
    return max(1, min(fit, search.concurrency or fit))
