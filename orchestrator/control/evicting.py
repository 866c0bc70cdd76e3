"""A node is emptied: what runs on it is asked to save its state and stop, and goes on elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from orchestrator.backends.protocol import AllocationState, Observation
from orchestrator.base.text import one_line
from orchestrator.control.readable import readable
from orchestrator.control.site import Site
from orchestrator.lifecycle.states import JobState
from orchestrator.store import allocations, events, jobs, runs
from orchestrator.store.records import RunRecord

_ABSENT = Observation(AllocationState.ABSENT)
_GONE = frozenset({AllocationState.ENDED, AllocationState.ABSENT})
_HOLDING = frozenset({JobState.STARTING, JobState.RUNNING, JobState.RESIZING})


def evict(site: Site, node: str, by: str) -> list[str]:
    """Ask every run with workers on a node that do not leave it by themselves to stop, as if it were preempted.

    Asking again changes nothing.

    Returns:
        The jobs that were asked.

    Raises:
        BackendUnavailable: an engine that places runs itself does not say where they are.
    """
    with site.store.read() as connection:
        found = runs.unreleased(connection)
    stays = _staying(site, found, node)
    with site.commit("evict") as connection:
        there = [run for run in runs.unreleased(connection) if stays.get(run.id, node in dict(run.placement))]
        return [run.job for run in there if _stop(site, connection, run, node, by)]


def _staying(site: Site, active: Sequence[RunRecord], node: str) -> Mapping[str, bool]:
    """Whether something of a run stays on a node, of those runs of which an engine that places them itself tells it.

    What joined a run there leaves by itself, as long as the fewest of the run are left elsewhere.
    """
    if not site.backend.queues:
        return {}
    with site.store.read() as connection:
        grown = allocations.of_runs(connection, [run.id for run in active], ended=0)
        least = {name: job.workers_min for name, job in readable(connection, {run.job for run in active}).jobs.items()}
    asked = [run.allocation for run in active] + [one.id for ones in grown.values() for one in ones]
    seen = site.backend.observe(asked)
    found = dict[str, bool]()
    for run in active:
        base = seen.get(run.allocation, _ABSENT)
        if base.state is AllocationState.RUNNING:
            found[run.id] = node in base.nodes
        elif base.state in _GONE:
            lies = {one: seen.get(one.id, _ABSENT) for one in grown[run.id]}
            alive = {one: there.nodes for one, there in lies.items() if there.state is AllocationState.RUNNING}
            elsewhere = sum(one.workers for one, nodes in alive.items() if node not in nodes and not one.stopping)
            is_there = any(node in nodes for nodes in alive.values())
            found[run.id] = is_there and elsewhere < least.get(run.job, 1)
    return found


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
