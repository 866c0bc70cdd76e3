"""Runs that go on without nodes that were lost give up what was kept for them there; the policy decides anew."""

from __future__ import annotations

from orchestrator.backends.protocol import Capacity
from orchestrator.base.text import counted
from orchestrator.control.accounts import charge
from orchestrator.control.membership import running
from orchestrator.control.site import Site
from orchestrator.lifecycle.states import JobState, RunState
from orchestrator.store import events, jobs, runs
from orchestrator.store.records import RunRecord


def follow_lost_nodes(site: Site, run: RunRecord, capacity: Capacity) -> RunRecord:
    """Let a run be as wide as what is left of it, once it says itself that it goes on without the others.

    A node that its engine wants empty is left like one that is lost: what was there does not come back. An engine with
    a queue of its own says itself what becomes of such nodes.

    A width that a person chose is kept: its nodes may come back.

    Args:
        site: where.
        run: any.
        capacity: what the engine has now.

    Returns:
        The run as it is now.
    """
    if run.state is not RunState.RUNNING or run.resizing_from is not None or run.pinned or run.world_size >= run.wanted:
        return run
    queues = site.backend.queues
    up = {node.name for node in capacity.nodes if node.up and (queues or not node.drained)}
    left = tuple((node, workers) for node, workers in run.placement if node in up)
    lost = [node for node, _ in run.placement if node not in up]
    workers = sum(count for _, count in left)
    if not lost or workers != run.world_size:
        return run
    there = any(node.up and node.name in lost for node in capacity.nodes)
    why = f"{counted(len(lost), 'node')} lost{' or drained' if there else ''}: {', '.join(lost)}"
    with site.commit("lost nodes") as connection:
        job = jobs.get(connection, run.job)
        if job.state is not JobState.RUNNING or job.token != run.token:
            return run
        wanted, slots = run.wanted, workers * job.slots_per_worker
        run = charge(connection, site, run)
        run = runs.change(connection, run, wanted=workers, slots=slots, placement=left)
        jobs.set_columns(connection, job, reason=f"{running(workers, run.id)}: {why}")
        told = f"goes on with {counted(workers, 'worker')} of {wanted}: {why}"
        events.append(connection, job.id, "width", told, time=site.clock.now(), run=run.id, data={"nodes": lost})
    return run
