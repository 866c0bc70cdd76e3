"""A node is emptied: what runs on it is asked to save its state and stop, and goes on elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection

from orchestrator.backends.protocol import AllocationState
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

    Raises:
        BackendUnavailable: an engine that places runs itself does not say where they are.
    """
    began_on = _began_on(site)
    with site.commit("evict") as connection:
        found = runs.unreleased(connection)
        there = [run for run in found if node in began_on.get(run.id, dict(run.placement))]
        return [run.job for run in there if _stop(site, connection, run, node, by)]


def _began_on(site: Site) -> Mapping[str, Collection[str]]:
    """The nodes that runs began with, where the engine has put them: what joined them there leaves by itself."""
    if not site.backend.queues:
        return {}
    with site.store.read() as connection:
        found = runs.unreleased(connection)
    seen = site.backend.observe([run.allocation for run in found])
    alive = {run.id: seen[run.allocation] for run in found}
    return {run: one.nodes for run, one in alive.items() if one.state is AllocationState.RUNNING}


def _stop(site: Site, connection: Connection, run: RunRecord, node: str, by: str) -> bool:
    if run.state.terminal or run.stop_cause is not None:
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
