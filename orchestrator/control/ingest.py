"""What runs say, taken into the store exactly once: the cursors are committed together with what they caused."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection

from orchestrator.base.text import one_line
from orchestrator.control.accounts import charge
from orchestrator.control.demands import worked_at
from orchestrator.control.endings import Ending, end_run
from orchestrator.control.files import read_trial, trial_files
from orchestrator.control.foreign import FOREIGN_ERRORS, without_nonsense
from orchestrator.control.measuring import take
from orchestrator.control.membership import Resized, first_world, lost, runs_on
from orchestrator.control.sentences import sentence, worth_telling
from orchestrator.control.site import Site
from orchestrator.control.standing import released_by_start
from orchestrator.lifecycle.states import JobState, RunState
from orchestrator.rundir.events import RunEvent, read_events
from orchestrator.rundir.membership import newest_view
from orchestrator.spec.messages import Goodput
from orchestrator.store import events, jobs, runs, trials
from orchestrator.store.records import JobRecord, RunRecord

_LOG = logging.getLogger(__name__)

BATCH = 2000
"""Events that are taken in one transaction at most."""


def ingest(site: Site, run: RunRecord) -> RunRecord:
    """Take in what a run has said since the last time.

    Returns:
        The run as it is now.

    Raises:
        Exception: its events cannot be read; they are foreign.
    """
    while not run.state.terminal:
        found = list(islice(read_events(site.run_directory(run), run.cursors), BATCH))
        if not found:
            break
        with site.commit("ingest") as connection:
            run = _Ingestion(site, connection).take(run, found if len(found) < BATCH else _before_the_end(found))
        if len(found) < BATCH:
            break
    return run


def _before_the_end(found: list[RunEvent]) -> list[RunEvent]:
    """A batch that others follow, without the run's end, which would make the others worthless."""
    ends = {event.writer: event.seq for event in reversed(found) if event.kind == "finished"}
    return [event for event in found if event.seq < ends.get(event.writer, event.seq + 1)] or found


@dataclass(frozen=True)
class _Ingestion:
    """One transaction."""

    site: Site
    connection: Connection

    def take(self, seen: RunRecord, found: Iterable[RunEvent]) -> RunRecord:
        run = runs.get(self.connection, seen.id)
        assert run is not None
        cursors, progress, left_out = dict(run.cursors), None, list[RunEvent]()
        # Writers are read one after the other: what workers said before the end comes after it.
        for event in sorted(found, key=lambda event: event.kind == "finished"):
            cursors[event.writer] = event.seq + 1
            if event.token != run.token or run.state.terminal:
                continue
            if event.kind == "progress":
                progress = event if progress is None or event.time >= progress.time else progress
            elif event.kind == "step_skipped":
                left_out.append(event)
            else:
                run = self._apply(run, event) if event.kind == "finished" else self._tried(run, event)
        if progress is not None:
            self._progress(run, progress)
        if left_out:  # each may be one of thousands
            self._tell(run, left_out[-1], count=len(left_out))
        return runs.change(self.connection, run, cursors=cursors)

    def _tried(self, run: RunRecord, event: RunEvent) -> RunRecord:
        """An event that nobody can make anything of is left out: it keeps neither others nor the end from the store."""
        try:
            with self.connection.begin_nested():
                return self._apply(run, event)
        except FOREIGN_ERRORS as error:
            what = f"{event.writer}/{event.seq} ({one_line(event.kind, 50)})"
            _LOG.warning("%s: event %s is left out: %s: %s", run.id, what, type(error).__name__, error)
            return run

    def _apply(self, run: RunRecord, event: RunEvent) -> RunRecord:
        match event.kind:
            case "started":
                return self._started(run, event)
            case "finished":
                self._last_trials(run)
                return end_run(
                    self.connection, self.site, run, Ending.from_marker(event.data, run.stop_cause, event.time)
                )
            case "resized" if event.writer.startswith("agent-"):
                found = Resized.of(event.data, event.time)
                run = run if found is None else found.apply(self.connection, self.site, run)
                if found is None or (found.cause == "start" and found.leader == 0):
                    return run
            case "worker_lost" if event.writer.startswith("agent-"):
                run = lost(self.connection, run, event.data.get("number"), self._members(run))
            case "goodput":
                run = self._goodput(run, event)
            case "measured":
                take(self.connection, run, event)
            case "checkpoint":
                run = self._saved(run, event)
            case "trial" if isinstance(index := event.data.get("index"), int):
                self._trials(run, [self.site.job_directory(run.job).trials / f"{index:05d}.json"])
        if worth_telling(event.kind, event.data):
            self._tell(run, event)
        return run

    def _members(self, run: RunRecord) -> tuple[int, ...] | None:
        """Numbers of the workers of its newest view; None where that cannot be told."""
        try:
            view = newest_view(self.site.run_directory(run))
        except (OSError, LookupError, TypeError, ValueError):
            return None
        return None if view is None else view.numbers

    def _tell(self, run: RunRecord, event: RunEvent, **more: Any) -> None:
        """An entry of the job's history."""
        data = {**event.data, **more}
        message = sentence(event.kind, data)
        events.append(self.connection, run.job, event.kind, message, time=event.time, run=run.id, data=data)

    def _progress(self, run: RunRecord, event: RunEvent) -> None:
        job = jobs.get(self.connection, run.job)
        if job.token == run.token:
            time = min(event.time, self.site.clock.now())  # the run's host may have a clock that is ahead
            jobs.set_columns(self.connection, job, progress={**without_nonsense(event.data), "time": time})

    def _goodput(self, run: RunRecord, event: RunEvent) -> RunRecord:
        """What its time was spent on: sums that only grow, by whichever worker leads, read in any order."""
        try:
            found = Goodput.model_validate(dict(event.data))
        except ValidationError:
            return run  # foreign, and no goodput
        if found.seconds <= sum(run.goodput.values()):
            return run
        return runs.change(self.connection, run, goodput=found.model_dump())

    def _saved(self, run: RunRecord, event: RunEvent) -> RunRecord:
        """Its work so far would survive a stop."""
        time = min(event.time, self.site.clock.now())
        job = jobs.open_job(self.connection, run.job)
        return runs.change(self.connection, run, saved=max(run.saved or 0.0, worked_at(job, run, time)))

    def _started(self, run: RunRecord, event: RunEvent) -> RunRecord:
        if run.state is RunState.RUNNING:
            return run
        began = min(event.time, self.site.clock.now())  # the run's host may have a clock that is ahead
        workers = first_world(event.data, run.world_size)
        job = released_by_start(self.connection, self.site, jobs.get(self.connection, run.job), run)
        given = self._given(job, run, workers)
        if job.state is JobState.STARTING and job.token == run.token:
            reason = runs_on(workers, given.get("wanted", workers), run.id)
            first = began if job.started_at is None else job.started_at
            jobs.move(self.connection, job, JobState.RUNNING, reason=reason, time=began, run=run.id, started_at=first)
        run = charge(self.connection, self.site, run, until=began)  # what it held before was no work
        return runs.change(self.connection, run, state=RunState.RUNNING, started_at=began, world_size=workers, **given)

    def _given(self, job: JobRecord, run: RunRecord, workers: int) -> dict[str, int]:
        """What follows from the width that an engine chose: only a training can get more later."""
        if not self.site.backend.queues:
            return {}
        return {"slots": workers * job.slots_per_worker, "wanted": run.wanted if job.elastic else workers}

    def _last_trials(self, run: RunRecord) -> None:
        try:
            with self.connection.begin_nested():
                self._trials(run, trial_files(self.site.job_directory(run.job).trials))
        except (*FOREIGN_ERRORS, OSError) as error:
            _LOG.warning("%s: its trials cannot be read: %s: %s", run.id, type(error).__name__, error)

    def _trials(self, run: RunRecord, files: Iterable[Path]) -> None:
        known = trials.stamps(self.connection, run.job)
        for path in files:
            record = read_trial(run.job, path)
            if record is not None and known.get(record.number) != record.stamp:
                trials.put(self.connection, record)
