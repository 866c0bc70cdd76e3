"""What an older version left behind is completed when a server takes its store up."""

from __future__ import annotations

from sqlalchemy import Connection

from orchestrator.control.site import Site
from orchestrator.store import jobs, runs
from orchestrator.store.records import RunRecord


def place_older_runs(site: Site) -> None:
    """Write down where runs lie that were started before placements were: on the cluster's one node.

    Without it what they hold would be taken for somebody else's as well, and count twice. An engine with a queue of its
    own places runs itself.
    """
    if site.backend.queues:
        return
    with site.store.read() as connection:
        nowhere = [run for run in runs.unreleased(connection) if not run.placement and run.slots]
    if nowhere:
        with site.commit("placed") as connection:
            for run in nowhere:
                _place(connection, run, site.profile.nodes[0].names[0])


def _place(connection: Connection, run: RunRecord, node: str) -> None:
    workers = max(1, run.slots // jobs.get(connection, run.job).slots_per_worker)
    runs.change(connection, run, placement=((node, workers),))
