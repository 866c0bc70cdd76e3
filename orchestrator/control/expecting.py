"""How long a workload takes that somebody asks about, by what the store knows of earlier runs."""

from __future__ import annotations

from orchestrator.control.site import Site
from orchestrator.planning.estimate import estimate_of
from orchestrator.planning.history import history_of
from orchestrator.spec.answers import EstimateView
from orchestrator.spec.workload import Workload


def estimate_by_name(site: Site, workload: Workload) -> EstimateView | None:
    """By earlier runs of the same name; what takes a look into datasets is the caller's to say."""
    with site.store.read() as connection:
        found = estimate_of(workload, None, history_of(connection, name=workload.name))
    if found is None:
        return None
    return EstimateView(seconds=found.seconds, error=found.error, exponent=found.exponent)
