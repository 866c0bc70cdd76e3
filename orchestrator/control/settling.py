"""`Settling`: what stands between two runs of a job, whoever places it: slots freed, back-off, dead dependencies."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.control.facts import Facts, dependencies_of
from orchestrator.control.site import Site
from orchestrator.control.timers import Elapsed
from orchestrator.lifecycle.reasons import backing_off
from orchestrator.lifecycle.states import JobState
from orchestrator.store import briefs, jobs, runs
from orchestrator.store.jobs import OpenJob, Stale
from orchestrator.store.records import JobRecord

_DEAD = frozenset({JobState.FAILED, JobState.CANCELLED})


class Settling:
    """Moves jobs whose last run is over, and those that can never start."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._elapsed = Elapsed(site.clock)

    def settle(self) -> None:
        """RECOVERING and CANCELLING end when the slots are free again."""
        with self._site.store.read() as connection:
            waiting = jobs.in_states(connection, {JobState.RECOVERING, JobState.CANCELLING})
            holding = runs.holding(connection) if waiting else set()
        for job in waiting:
            if job.id not in holding:
                self._free_again(job)

    def fail_dependants(self, facts: Facts) -> None:
        """What waits for a job that did not succeed leaves the queue."""
        for job in facts.waiting:
            dead = {o: s for o in dependencies_of(job) if (s := facts.dependencies.get(o)) in _DEAD and s is not None}
            if dead and job.state == str(JobState.QUEUED):
                self._fail_dependant(job, dead)
        self._elapsed.forget({job.id for job in facts.waiting if job.not_before is not None})

    def back_off(self, job: OpenJob) -> float | None:
        """When a job may start again; measured so that a clock jump neither shortens nor lengthens it."""
        if job.not_before is None:
            return None
        now, remaining = self._site.clock.now(), -self._elapsed.since(job.id, job.not_before)
        if remaining <= 0:
            return None
        jumped = abs(job.not_before - (now + remaining)) > 1
        return now + remaining if jumped else max(job.not_before, now + 1e-3)

    def _free_again(self, job: JobRecord) -> None:
        now = self._site.clock.now()
        try:
            with self._site.commit("settle") as connection:
                if job.state is JobState.CANCELLING:
                    told = briefs.newest_events(connection, job.id, {"state"}, 1)
                    who = next((f" by {event.data['by']}" for event in told if "by" in event.data), "")
                    reason = f"cancelled{who}; its slots are free"
                    jobs.move(connection, job, JobState.CANCELLED, reason=reason, time=now, finished_at=now)
                else:
                    failed = sum(job.failures.values())
                    reason = job.reason if job.not_before is None else backing_off(job.not_before, failed).text
                    jobs.move(connection, job, JobState.QUEUED, reason=reason, time=now)
        except Stale:
            return  # somebody cancelled it in between

    def _fail_dependant(self, queued: OpenJob, dead: Mapping[str, JobState]) -> None:
        now = self._site.clock.now()
        with self._site.commit("dependency") as connection:
            job = jobs.get(connection, queued.id)
            if job.state is JobState.QUEUED:
                what = ", ".join(f"{other} {state.clause}" for other, state in dead.items())
                reason = f"a job that it depends on did not succeed: {what}"
                jobs.move(connection, job, JobState.FAILED, reason=reason, time=now, finished_at=now)
