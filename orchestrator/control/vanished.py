"""A run that goes on though somebody has removed its directory: nobody will ever hear how it ends."""

from __future__ import annotations

from orchestrator.control.site import Site
from orchestrator.store.records import RunRecord


def vanished(site: Site, run: RunRecord | None) -> str:
    """What is wrong, and what to do, in a sentence; empty where the directory is there, or nothing of it runs.

    Args:
        site: where its files lie.
        run: the newest one of a job; None where there is none.
    """
    if run is None or run.state.terminal or run.started_at is None:
        return ""
    directory = site.run_directory(run)
    if directory.launch.exists():
        return ""
    return (
        f"the directory of {run.id} is gone ({directory.path}), and with it what it would say of itself: once it is "
        f"over, it counts as lost, and the job begins another run; `orchestrator cancel {run.job}` ends it now"
    )
