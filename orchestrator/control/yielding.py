"""Room made for waiting jobs: running ones asked to stop or to shrink, and the claims on what they give up."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from sqlalchemy import Connection

from orchestrator.base.text import counted
from orchestrator.control.resizing import write_down
from orchestrator.control.site import Site
from orchestrator.lifecycle.states import JobState, RunState
from orchestrator.scheduling.cluster import Placement
from orchestrator.scheduling.decisions import Decisions, Preempt, Resize
from orchestrator.store import events, jobs, runs
from orchestrator.store.jobs import Stale
from orchestrator.store.records import JobRecord, RunRecord

_LOG = logging.getLogger(__name__)

_HOLDING = frozenset({JobState.STARTING, JobState.RUNNING, JobState.RESIZING})


class Yielding:
    """Carries out what a policy asks of running jobs."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def ask(self, decisions: Decisions) -> bool:
        """Preempts, shrinks and their claims in one transaction: all of them, or none where one does not hold any more.

        Returns:
            Whether all of it was written down; the next passes tell the runs.
        """
        shrinks = [resize for resize in decisions.resizes if resize.for_job is not None]
        if not (decisions.preempts or shrinks or decisions.claims):
            return True
        try:
            with self._site.commit("make room") as connection:
                for preempt in decisions.preempts:
                    self._preempt(connection, preempt)
                for shrink in shrinks:
                    self._resize(connection, shrink)
                for claim in decisions.claims:
                    self._claim(connection, claim.job, claim.placement)
        except Stale as error:
            _LOG.info("decided anew: %s", error.message)
            return False
        return True

    def grow(self, resize: Resize, node_slots: Mapping[str, int]) -> bool:
        """One job takes what is idle.

        Args:
            resize: the growth.
            node_slots: that each node has for us.

        Returns:
            False where it does not hold any more.
        """
        try:
            with self._site.commit("grow") as connection:
                self._resize(connection, resize)
                refuse_overbooking(connection, resize.placement, node_slots)
        except Stale as error:
            _LOG.info("decided anew: %s", error.message)
            return False
        return True

    def _preempt(self, connection: Connection, preempt: Preempt) -> None:
        job, run = _holder(connection, preempt.job)
        whom = "" if preempt.for_job is None else f" for {preempt.for_job}"
        reason = f"asked to stop{whom}: {preempt.why}"
        runs.change(connection, run, stop_cause="preempt", freed_for=preempt.for_job)
        jobs.set_columns(connection, job, reason=reason)
        told = {"for": preempt.for_job, "why": preempt.why}
        now = self._site.clock.now()
        events.append(connection, job.id, "stopping", reason, time=now, run=run.id, data=told)

    def _resize(self, connection: Connection, resize: Resize) -> None:
        job, run = _holder(connection, resize.job)
        if run.state is not RunState.RUNNING or job.state is not JobState.RUNNING or run.pinned:
            raise Stale(f"job {job.id} cannot be resized now", hint="look at it again")
        asked = f"asked to resize from {run.wanted} to {counted(resize.workers, 'worker')}"
        purpose = "" if resize.for_job is None else f" for {resize.for_job}"
        reason = f"{asked}{purpose}: {resize.why}"
        write_down(self._site, connection, job, run, resize.placement, reason=reason, freed_for=resize.for_job)

    def _claim(self, connection: Connection, name: str, placement: Placement) -> None:
        job = jobs.get(connection, name)
        if job.state is not JobState.QUEUED:
            raise Stale(f"job {name} {job.state.clause}", hint="look at it again")
        jobs.set_columns(connection, job, claim=tuple(map(tuple, placement)))


def refuse_overbooking(connection: Connection, placement: Placement, node_slots: Mapping[str, int]) -> None:
    """Called in the transaction that gives slots away: somebody may have given them away since the snapshot.

    Raises:
        Stale: more is kept for runs than one of these nodes has.
    """
    held = runs.held(connection, [node for node, _ in placement])
    for node, _ in placement:
        if held.get(node, 0) > node_slots.get(node, 0):
            has = node_slots.get(node, 0)
            raise Stale(f"node {node} has {has} slots, not {held[node]}", hint="look at it again")


def _holder(connection: Connection, name: str) -> tuple[JobRecord, RunRecord]:
    """A job that holds slots and was not asked to stop, and its run."""
    job = jobs.get(connection, name)
    active = [run for run in runs.unreleased_of(connection, name) if not run.state.terminal and run.stop_cause is None]
    if job.state not in _HOLDING or not active:
        raise Stale(f"job {name} {job.state.clause} and gives nothing up", hint="look at it again")
    return job, active[-1]
