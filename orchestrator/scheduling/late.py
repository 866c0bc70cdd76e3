"""Gangs that have lost much time: under `protect_late` they are not stopped for others, and get what is idle first.

An order by what jobs still need does not look at what they have lost, and of all jobs a wide gang loses most: it is
started narrow, shrunk and stopped again and again. Who has lost so much runs on from then on, perhaps narrower than
it could; nothing changes in the queue, where it would delay all others.
"""

from __future__ import annotations

from orchestrator.scheduling.jobs import Running
from orchestrator.scheduling.layout import Layout
from orchestrator.spec.policy import Policy

_PART = 8
"""No more than this part of the cluster can be held by a gang that is never preempted."""


def is_late(run: Running, layout: Layout, policy: Policy, now: float) -> bool:
    """Whether it is larger than a node and has lost more time than the policy bears.

    What it has lost is the time since its submission less the time that its work so far takes at full width.
    """
    job, bears = run.job, policy.protect_late
    if bears is None or now - job.submitted - job.worked <= bears:
        return False
    if job.demand.workers_max <= max(layout.shape(job.demand).most, default=job.demand.workers_max):
        return False
    return now - job.submitted - run.worked(now) > bears


def is_kept(run: Running, layout: Layout, policy: Policy, now: float) -> bool:
    """Whether it is not stopped for others: it is late, and at full width no more than an eighth of the cluster."""
    slots = run.job.demand.workers_max * run.job.demand.slots
    return policy.protect_late is not None and slots * _PART <= layout.slots and is_late(run, layout, policy, now)
