"""A node is emptied: what runs on it is asked to save its state and stop, and goes on elsewhere."""

from __future__ import annotations

from sqlalchemy import Connection

from orchestrator.base.text import one_line
from orchestrator.control.site import Site
from orchestrator.lifecycle.states import JobState
from orchestrator.store import events, jobs, runs
from orchestrator.store.records import RunRecord

_HOLDING = frozenset({JobState.STARTING, JobState.RUNNING, JobState.RESIZING})


def evict(site: Site, node: str, by: str) -> list[str]:
    """Ask every run with workers on a node to stop, as if it were preempted; asking again changes nothing.

    Returns:
        The jobs that were asked.
    """
    with site.commit("evict") as connection:
        return [run.job for run in runs.unreleased(connection) if _stop(site, connection, run, node, by)]


def _stop(site: Site, connection: Connection, run: RunRecord, node: str, by: str) -> bool:
    if run.state.terminal or run.stop_cause is not None or node not in dict(run.placement):
        return False
    job = jobs.get(connection, run.job)
    if job.state not in _HOLDING:
        return False
    reason = f"asked to stop: {one_line(by, 200)} empties node {node}"
    runs.change(connection, run, stop_cause="preempt")
    jobs.set_columns(connection, job, reason=reason)
    events.append(
        connection, job.id, "stopping", reason, time=site.clock.now(), run=run.id, data={"node": node, "by": by}
    )
    return True
