"""Records as the API shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection

from orchestrator.base.text import one_line, span
from orchestrator.control.measuring import expected_of, left_now
from orchestrator.control.site import Site
from orchestrator.control.starting import phase_of
from orchestrator.control.vanished import vanished
from orchestrator.lifecycle.states import TERMINAL, JobState
from orchestrator.rundir.layout import JobDirectory
from orchestrator.scheduling.estimates.forecast import RunEstimate
from orchestrator.spec.messages import Expected, Goodput, JobView, Progress, RunView
from orchestrator.spec.tracking import default_tracking_uri
from orchestrator.store import runs
from orchestrator.store.jobs import Unreadable
from orchestrator.store.records import JobRecord, RunRecord

_WORKING = frozenset({JobState.RUNNING, JobState.RESIZING})


class Views:
    """Makes views; a page of jobs takes as many queries as one job."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._folder = str(JobDirectory.all_under(site.runs_root))

    def of(self, connection: Connection, records: Sequence[JobRecord]) -> list[JobView]:
        """Views of these jobs, with their runs."""
        launched = runs.of_jobs(connection, [job.id for job in records if job.runs])
        told = [job for job in records if job.state in _WORKING or len(records) == 1]
        expected = expected_of(connection, told)
        views = [self._job(job, launched.get(job.id, []), expected.get(job.id)) for job in records]
        if len(records) == 1 and records[0].state is JobState.STARTING:
            newest = launched.get(records[0].id, [])[-1:]
            phase = phase_of(self._site, connection, records[0], newest[0] if newest else None)
            return [views[0].model_copy(update={"phase": phase})]
        if len(records) == 1 and (its := launched.get(records[0].id)) and (gone := vanished(self._site, its[-1])):
            return [views[0].model_copy(update={"reason": f"{views[0].reason}; {gone}"})]
        return views

    def of_all(self, connection: Connection, found: Sequence[JobRecord | Unreadable]) -> list[JobView]:
        """Views of these jobs in their order, and of those that cannot be read what is known of them."""
        views = {view.id: view for view in self.of(connection, [one for one in found if isinstance(one, JobRecord)])}
        return [views[one.id] if isinstance(one, JobRecord) else self._stand_in(one) for one in found]

    def _stand_in(self, one: Unreadable) -> JobView:
        """As much of a damaged row as a view can hold."""
        text = {name: one_line(str(one.row[name])) for name in ("id", "name", "kind", "owner", "team", "profile")}
        priority, created = one.row["priority"], one.row["created_at"]
        state = one_line(str(one.row["state"]), 50)
        return JobView(
            **text,
            state=state,
            terminal=state in {str(over) for over in TERMINAL},
            reason=one_line(one.error.message, 500),
            priority=priority if isinstance(priority, int) else 0,
            created_at=created if isinstance(created, int | float) else 0.0,
            workers="?",
            directory=f"{self._folder}/{text['id']}",
        )

    def tracking(self, job: JobRecord) -> dict[str, Any]:
        """Where a job's metrics go."""
        section = self._site.workload_of(job).tracking
        if not section.enabled:
            return {"enabled": False}
        return {"enabled": True, "uri": default_tracking_uri(), "experiment": section.experiment, "run": job.id}

    def _job(self, job: JobRecord, launched: Sequence[RunRecord], expected: RunEstimate | None) -> JobView:
        low, high = job.workers_min, job.workers_max
        return JobView(
            id=job.id,
            name=job.name,
            kind=job.kind,
            owner=job.owner,
            team=job.team,
            priority=job.priority,
            state=str(job.state),
            terminal=job.state.terminal,
            reason=job.reason,
            profile=job.profile,
            workers=span(low, high),
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            failures=dict(job.failures),
            progress=_progress(job.progress, stands_still=bool(launched) and launched[-1].world_size < low),
            goodput=_sum([found for run in launched if (found := _goodput(run)) is not None]),
            expected=None if expected is None else _expected(expected),
            left=self._left(job, launched, expected),
            pinned=bool(launched) and launched[-1].pinned and not job.state.terminal,
            preemptions=job.preemptions,
            runs=[self._run(run) for run in launched],
            directory=f"{self._folder}/{job.id}",
        )

    def _left(self, job: JobRecord, launched: Sequence[RunRecord], expected: RunEstimate | None) -> Expected | None:
        found = left_now(job, launched[-1], expected, self._site.clock.now()) if launched else None
        return None if found is None else Expected(seconds=found.seconds, low=found.low, high=found.high)

    def _run(self, run: RunRecord) -> RunView:
        return RunView(
            id=run.id,
            number=run.number,
            state=str(run.state),
            backend=run.backend,
            world_size=run.world_size,
            wanted=run.wanted,
            goodput=_goodput(run),
            created_at=run.created_at,
            started_at=run.started_at,
            ended_at=run.ended_at,
            failure_class=run.failure_class,
            message=run.message,
            directory=str(self._site.run_directory(run).path),
        )


def _progress(data: Mapping[str, Any] | None, *, stands_still: bool) -> Progress | None:
    """The newest progress event; a run may write what it likes, and what is no progress is not shown.

    Where the run stands still, for too few workers are left, nobody knows how fast it goes and when it ends.
    """
    if data is None:
        return None
    try:
        found = Progress.model_validate({name: value for name, value in data.items() if value is not None})
        return found.model_copy(update={"samples_per_second": None, "eta_seconds": None}) if stands_still else found
    except ValidationError:
        return None


def _expected(estimate: RunEstimate) -> Expected:
    low, high = estimate.interval
    return Expected(seconds=estimate.seconds, low=low, high=high, source=estimate.source)


def _goodput(run: RunRecord) -> Goodput | None:
    return Goodput.model_validate(dict(run.goodput)) if run.goodput else None


def _sum(parts: Sequence[Goodput]) -> Goodput | None:
    return reduce(Goodput.plus, parts) if parts else None
