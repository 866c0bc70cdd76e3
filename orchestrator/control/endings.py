"""What follows the end of a run: success, another run within the budget of its failure class, or the end of the job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection

from orchestrator.base.errors import SpecError
from orchestrator.base.text import one_line
from orchestrator.control.site import Site
from orchestrator.control.standing import released_by_start
from orchestrator.lifecycle.failures import FailureClass, backoff_seconds, may_retry
from orchestrator.lifecycle.reasons import duration
from orchestrator.lifecycle.states import JobState, RunState
from orchestrator.spec.sections import Retry
from orchestrator.store import jobs, runs
from orchestrator.store.records import JobRecord, RunRecord

_STATES = {
    "succeeded": RunState.SUCCEEDED,
    "failed": RunState.FAILED,
    "stopped": RunState.STOPPED,
    "lost": RunState.LOST,
}


_STARTS_OVER = "it saves no state and would reach its limit again, so it is not tried again"


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes:
        outcome: by its durable marker, or by the engine where it left none.
        message: for people.
        failure: which budget pays; None where it succeeded.
        time: when, by its marker, or by the best evidence where it left none; None: just now.
    """

    outcome: Literal["succeeded", "failed", "stopped", "lost"]
    message: str
    failure: FailureClass | None = None
    time: float | None = None

    def at(self, run: RunRecord, now: float) -> float:
        """When its run ended: not before it began, and not in the future, whatever the clock of its host says."""
        began = run.created_at if run.started_at is None else run.started_at
        return now if self.time is None else min(now, max(began, self.time))

    @classmethod
    def from_marker(cls, data: Mapping[str, Any], stop_cause: str | None, time: float) -> Ending:
        """Of a `finished` event; what a run says is foreign, so that unknown words are taken for the nearest known."""
        message = one_line(str(data.get("message", "")), 1000)
        outcome = data.get("outcome")
        if outcome == "succeeded":
            return cls("succeeded", message or "finished", None, time)
        if outcome == "stopped":
            cause = data.get("cause") or stop_cause
            failure = FailureClass.TIME_LIMIT if cause == "time_limit" else FailureClass.PREEMPTED
            return cls("stopped", message or f"stopped ({cause})", failure, time)
        return cls("failed", message or "failed without a word", _class_of(data.get("failure_class")), time)

    @classmethod
    def without_marker(
        cls, failure_class: str | None, detail: str, stop_cause: str | None, time: float | None
    ) -> Ending:
        """The engine says that it is over, and the run did not say how."""
        message = "ended without saying how" + (f": {one_line(detail, 500)}" if detail else "")
        if stop_cause == "time_limit":
            return cls("stopped", f"{message} (beyond its time limit)", FailureClass.TIME_LIMIT, time)
        if stop_cause == "preempt":
            return cls("stopped", f"{message} (when it was asked to stop)", FailureClass.PREEMPTED, time)
        failure = _class_of(failure_class) if failure_class else FailureClass.INFRASTRUCTURE
        return cls("stopped" if stop_cause else "failed", message, failure, time)


def end_run(connection: Connection, site: Site, run: RunRecord, ending: Ending) -> RunRecord:
    """Record the end of a run and move its job, in the caller's transaction.

    A run whose job has gone on without it (another token, a terminal state) changes nothing but its own row.
    """
    now = ending.at(run, site.clock.now())
    cancelled = run.stop_cause == "cancel" and ending.outcome == "stopped"  # no failure: somebody wished it
    ended = runs.change(
        connection,
        run,
        state=_STATES[ending.outcome],
        ended_at=now,
        failure_class=None if ending.failure is None or cancelled else str(ending.failure),
        message=f"cancelled: {ending.message}" if cancelled else ending.message,
    )
    job = jobs.get(connection, run.job)
    if job.token != run.token or job.state.terminal:
        return ended
    if job.state is JobState.HELD and _never_began(run, ending):
        reason = f"held until somebody releases it; {run.id} is over before it began: {ending.message}"
        jobs.set_columns(connection, job, reason=reason)
        return ended
    if run.started_at is not None or ending.outcome == "succeeded":
        job = released_by_start(connection, site, job, run)
    if ending.outcome == "succeeded":
        reason = (
            ending.message if job.state is not JobState.CANCELLING else f"{ending.message} (before it was cancelled)"
        )
        jobs.move(
            connection, job, JobState.SUCCEEDED, reason=reason, time=now, run=run.id, finished_at=now, not_before=None
        )
    elif job.state is not JobState.CANCELLING:
        job = jobs.set_columns(
            connection, job, worked=job.worked if ended.saved is None else ended.saved, waits_since=now
        )
        if run.stop_cause == "preempt" and ending.outcome == "stopped":
            _preempted(connection, site, job, ended)
        else:
            _retry_or_fail(connection, site, job, ended, ending)
    return ended


def saves_state(job: JobRecord, run: RunRecord) -> bool:
    """Whether the next run of a job goes on from what this one saved; a command starts from the beginning."""
    return job.kind != "command" or run.saved is not None


def _never_began(run: RunRecord, ending: Ending) -> bool:
    """Nothing was lost, and another run may follow once its job is released."""
    follows = ending.outcome != "succeeded" and ending.failure is not FailureClass.PERMANENT
    return run.started_at is None and follows


def _preempted(connection: Connection, site: Site, job: JobRecord, run: RunRecord) -> None:
    """We asked it to stop: no failure, no back-off, and its place is kept."""
    goes_on = "goes on from its newest checkpoint" if saves_state(job, run) else "starts from the beginning"
    whom = "" if run.freed_for is None else f" for {run.freed_for}"
    jobs.move(
        connection,
        job,
        JobState.RECOVERING,
        reason=f"preempted{whom}; {goes_on} when its turn comes",
        time=site.clock.now(),
        run=run.id,
        data={"for": run.freed_for},
        preemptions=job.preemptions + 1,
        not_before=None,
    )


def _retry_or_fail(connection: Connection, site: Site, job: JobRecord, run: RunRecord, ending: Ending) -> None:
    now = site.clock.now()
    failure = ending.failure or FailureClass.APPLICATION
    what = f"run {run.number} {run.state} ({failure.replace('_', ' ')}): {ending.message}"
    retry = Retry()
    if failure is not FailureClass.PERMANENT:
        try:
            retry = site.workload_of(job).retry
        except SpecError as error:
            failure, what = FailureClass.PERMANENT, f"{what}; {error.message}"
    budgets = _budgets(retry, saves=saves_state(job, run))
    used = dict(job.failures)
    used[str(failure)] = count = used.get(str(failure), 0) + 1
    told = {"failure_class": str(failure)}
    if not may_retry(failure, used, budgets):
        starts_over = failure is FailureClass.TIME_LIMIT and retry.time_limit is None and not saves_state(job, run)
        reason = f"{what}; {_STARTS_OVER if starts_over else _no_more(failure, budgets[str(failure)])}"
        jobs.move(
            connection,
            job,
            JobState.FAILED,
            reason=reason,
            time=now,
            run=run.id,
            data=told,
            failures=used,
            finished_at=now,
        )
        return
    # Who was taken back by an engine with a queue of its own waits there; to wait here, too, would cost its place.
    times = 1 if failure is FailureClass.PREEMPTED and site.backend.queues else count
    wait = backoff_seconds(job.id, times, base=retry.backoff, limit=retry.backoff_limit)
    reason = f"{what}; retry {count} of {budgets[str(failure)]} in {duration(wait)}"
    jobs.move(
        connection,
        job,
        JobState.RECOVERING,
        reason=reason,
        time=now,
        run=run.id,
        data=told,
        failures=used,
        not_before=now + wait,
    )


def _budgets(retry: Retry, *, saves: bool) -> dict[str, int]:
    """Retries of each class."""
    found = {str(name): getattr(retry, str(name), 0) for name in FailureClass}
    return found | {str(FailureClass.TIME_LIMIT): retry.at_time_limit(saves=saves)}


def _no_more(failure: FailureClass, budget: int) -> str:
    if failure is FailureClass.PERMANENT:
        return "it is not tried again by itself"
    if budget == 0:
        return f"retry.{failure} allows no retry"
    return f"its budget is used up (retry.{failure}: {budget})"


def _class_of(name: object) -> FailureClass:
    try:
        return FailureClass(str(name))
    except ValueError:
        return FailureClass.APPLICATION
