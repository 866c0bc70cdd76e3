"""A scheduler's state for the simulator that keeps nothing but plain lists, and decides naively."""

from dataclasses import replace

import naive

from orchestrator.scheduling.decisions import Decisions
from orchestrator.scheduling.deltas import Delta, Gone, NodeGone, NodeIs, Pends, Runs, Teams
from orchestrator.scheduling.jobs import Running
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.spec.policy import Policy


class NaiveCore:
    """For policies without preemption and elastic widths."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.found = snapshot

    def apply(self, delta: Delta, now: float) -> None:
        match delta:
            case Pends(job):
                self._without(job.id)
                self._replace(pending=(*self.found.pending, job))
            case Runs(running):
                self._without(running.job.id)
                self._replace(running=(*self.found.running, running))
            case Gone(job):
                self._without(job)
            case NodeIs(node):
                others = (n for n in self.found.nodes if n.name != node.name)
                self._replace(nodes=(*others, node))
            case NodeGone(name):
                self._replace(nodes=tuple(n for n in self.found.nodes if n.name != name))
            case Teams(teams, usage):
                self._replace(teams=teams, usage=usage)

    def decide(self, policy: Policy, now: float) -> Decisions:
        self._replace(now=now)
        return Decisions(starts=tuple(naive.decide(self.found, policy)))

    def carry_out(self, decisions: Decisions, now: float) -> None:
        jobs = {job.id: job for job in self.found.pending}
        for start in decisions.starts:
            job = replace(jobs[start.job], claim=None)
            self.apply(Runs(Running(job, start.placement, since=now, counted=now, resized=now)), now)

    def _without(self, job: str) -> None:
        self._replace(
            pending=tuple(j for j in self.found.pending if j.id != job),
            running=tuple(r for r in self.found.running if r.job.id != job),
        )

    def _replace(self, **changes) -> None:
        self.found = replace(self.found, **changes)
