"""What the store tells of one job when somebody asks why it is where it is: what happened last, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import Connection

from orchestrator.control.files import logs_of
from orchestrator.control.site import Site
from orchestrator.control.vanished import vanished
from orchestrator.lifecycle.reasons import utc
from orchestrator.lifecycle.states import JobState
from orchestrator.scheduling.jobs import Running
from orchestrator.spec.answers import Moment, Remedy, WhyView
from orchestrator.store import briefs, runs
from orchestrator.store.records import JobRecord

_KINDS = frozenset({"state", "resized", "width", "stopping", "priority", "refused", "growth"})
_NEWEST = 4


@dataclass(frozen=True)
class Told:
    """What is stored of a job.

    Attributes:
        job: its record.
        view: the answer as far as the store goes.
    """

    job: JobRecord
    view: WhyView

    @property
    def terminal(self) -> bool:
        """Whether it is over."""
        return self.job.state.terminal

    def running(self, running: Running, now: float, *, reason: str, end: Moment | None) -> WhyView:
        """Why it has the width that it has."""
        return self.view.model_copy(
            update={
                "now": now,
                "reason": reason,
                "since": running.since,
                "expected_end": end,
                "workers": sum(share.workers for share in running.placement),
                "workers_min": self.job.workers_min,
                "workers_max": self.job.workers_max,
                "pinned": running.pinned,
                "preemptions": running.job.preemptions,
                "remedies": _unpin(self.job.id) if running.pinned else [],
            }
        )


def told_of(site: Site, connection: Connection, job: JobRecord, now: float) -> Told:
    """Look one job up: its newest run, and the newest entries of its history that say where it was moved, and why."""
    found = briefs.newest_events(connection, job.id, _KINDS, _NEWEST)
    told = [event for event in reversed(found) if event.message]
    # Two moves for one cause say the same: once is enough.
    said = [one for before, one in pairwise([None, *told]) if one and (before is None or before.message != one.message)]
    details = [f"{utc(event.time)}: {event.message}" for event in said]
    moved = next((event.time for event in found if event.kind == "state"), job.created_at)
    gone = vanished(site, runs.newest_of(connection, job.id))
    view = WhyView(
        job=job.id,
        name=job.name,
        state=str(job.state),
        now=now,
        reason=job.reason,
        details=[*filter(None, [gone]), *details],
        since=job.finished_at if job.state.terminal else moved,
        preemptions=job.preemptions,
        remedies=_to_do(site, connection, job),
    )
    return Told(job, view)


def _goes_on(job: JobRecord) -> str:
    return (
        "it starts from the beginning"
        if job.kind == "command"
        else "it goes on from its last checkpoint, if it has one"
    )


def _to_do(site: Site, connection: Connection, job: JobRecord) -> list[Remedy]:
    match job.state:
        case JobState.FAILED:
            output = Remedy(text="its output may tell more", command=f"orchestrator logs {job.id}")
            again = Remedy(text=f"once the cause is gone, queue it again; {_goes_on(job)}", command=_retry(job))
            return [output, again] if _has_logs(site, connection, job) else [again]
        case JobState.CANCELLED:
            return [Remedy(text=f"queue it again; {_goes_on(job)}", command=_retry(job))]
        case JobState.SUCCEEDED:
            return [Remedy(text="what it found", command=f"orchestrator results {job.id}")]
        case JobState.HELD:
            return [Remedy(text="let it start when its turn comes", command=f"orchestrator release {job.id}")]
        case _:
            return []


def _has_logs(site: Site, connection: Connection, job: JobRecord) -> bool:
    """Whether anything of it ever ran and wrote."""
    return any(logs_of(site.run_directory(run)) for run in runs.of_jobs(connection, [job.id])[job.id])


def _retry(job: JobRecord) -> str:
    return f"orchestrator retry {job.id}"


def _unpin(job: str) -> list[Remedy]:
    text = "let the policy choose its width again"
    return [Remedy(text=text, command=f"orchestrator resize {job} --auto")]
