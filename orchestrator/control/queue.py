"""The queue served: what is free again goes back into it or leaves it, and what the policy says is carried out."""

from __future__ import annotations

from orchestrator.backends.protocol import Capacity
from orchestrator.base.errors import BackendUnavailable, Fenced, StoreError
from orchestrator.control.site import Site
from orchestrator.control.snapshot import dependencies_of, take_snapshot
from orchestrator.control.starts import Starts
from orchestrator.control.timers import Elapsed
from orchestrator.control.troubles import Troubles
from orchestrator.lifecycle.reasons import backing_off
from orchestrator.lifecycle.states import JobState
from orchestrator.scheduling.interim.decide import Policy, decide, next_time
from orchestrator.scheduling.interim.decisions import Decisions, Start
from orchestrator.store import jobs, runs
from orchestrator.store.jobs import QueuedJob, Stale
from orchestrator.store.records import JobRecord

_DEAD = frozenset({JobState.FAILED, JobState.CANCELLED})


class Queue:
    """Everything between two runs of a job."""

    def __init__(self, site: Site, starts: Starts, troubles: Troubles) -> None:
        self._site = site
        self._starts = starts
        self._troubles = troubles
        self._policy = Policy(site.profile.policy, site.profile.limits.max_workers)
        self._elapsed = Elapsed(site.clock)
        self._served: tuple[int, Capacity] | None = None
        self._due: float | None = None

    def serve(self, capacity: Capacity) -> float | None:
        """One pass over the queue.

        Returns:
            Seconds until a wait ends by itself; None where none does.
        """
        self._settle()
        now = self._site.clock.monotonic()
        version = self._site.store.version  # read before the queue, so that nothing submitted meanwhile is missed
        if self._served == (version, capacity) and (self._due is None or now < self._due):
            return None if self._due is None else self._due - now
        queue, decisions = self._decide(capacity)
        until = next_time(decisions)
        self._due = None if until is None else now + max(0.0, until - self._site.clock.now())
        self._tell(queue, decisions)
        for start in decisions.starts:
            if not self._begin(start):
                break
        self._served = None if decisions.starts else (version, capacity)
        return None if self._due is None else self._due - now

    def _begin(self, start: Start) -> bool:
        """Start one job; its trouble is not the others'."""
        try:
            answered = self._starts.begin(start)
            self._troubles.over(start.job)
        except (BackendUnavailable, Fenced, StoreError):
            raise
        except Exception as error:
            self._troubles.met(start.job, error)
            return True
        return answered

    def _settle(self) -> None:
        """RECOVERING and CANCELLING end when the slots are free again."""
        with self._site.store.read() as connection:
            waiting = jobs.in_states(connection, {JobState.RECOVERING, JobState.CANCELLING})
            holding = {run.job for run in runs.unreleased(connection)}
        for job in waiting:
            if job.id not in holding:
                self._free_again(job)

    def _free_again(self, job: JobRecord) -> None:
        now = self._site.clock.now()
        try:
            with self._site.commit("settle") as connection:
                if job.state is JobState.CANCELLING:
                    jobs.move(
                        connection,
                        job,
                        JobState.CANCELLED,
                        reason="cancelled; its slots are free",
                        time=now,
                        finished_at=now,
                    )
                else:
                    reason = backing_off(job.not_before or now, sum(job.failures.values())).text
                    jobs.move(connection, job, JobState.QUEUED, reason=reason, time=now)
        except Stale:
            return  # somebody cancelled it in between

    def _decide(self, capacity: Capacity) -> tuple[list[QueuedJob], Decisions]:
        with self._site.store.read() as connection:
            queue = jobs.queue(connection)
            active = runs.unreleased(connection)
            states = jobs.states(connection, {other for job in queue for other in dependencies_of(job)})
        alive = []
        for job in queue:
            if dead := {o: states[o] for o in dependencies_of(job) if states.get(o) in _DEAD}:
                self._fail_dependant(job, dead)
            else:
                alive.append(job)
        snapshot = take_snapshot(alive, active, capacity, states, self._elapsed, self._site.clock.now())
        return alive, decide(snapshot, self._policy)

    def _fail_dependant(self, queued: QueuedJob, dead: dict[str, JobState]) -> None:
        now = self._site.clock.now()
        with self._site.commit("dependency") as connection:
            job = jobs.get(connection, queued.id)
            if job.state is JobState.QUEUED:
                what = ", ".join(f"{other} {state.clause}" for other, state in dead.items())
                reason = f"a job that it depends on did not succeed: {what}"
                jobs.move(connection, job, JobState.FAILED, reason=reason, time=now, finished_at=now)

    def _tell(self, queue: list[QueuedJob], decisions: Decisions) -> None:
        """Reasons are written where they have changed; for most of a long queue they do not."""
        known = {job.id: job.reason for job in queue}
        changed = {w.job: w.reason.text for w in decisions.waits if known[w.job] != w.reason.text}
        if changed:
            with self._site.commit("reasons") as connection:
                jobs.set_reasons(connection, changed, JobState.QUEUED)
