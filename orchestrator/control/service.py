"""`JobService`: what people ask of the control plane; every request is one transaction."""

from __future__ import annotations

import builtins
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from orchestrator.backends.protocol import Backend
from orchestrator.base.clock import Clock, IdSource
from orchestrator.base.errors import Conflict, NotFound, UsageError
from orchestrator.base.paths import state_dir
from orchestrator.control import evicting, files, holding, operators
from orchestrator.control.findings import search_view
from orchestrator.control.resizing import Pin, unpin
from orchestrator.control.site import Probe, Site, no_probe
from orchestrator.control.submission import Submission
from orchestrator.control.vanished import vanished
from orchestrator.control.views import Views
from orchestrator.control.wishes import ask_for_checkpoint
from orchestrator.control.workloads import Workloads
from orchestrator.lifecycle.states import TERMINAL, JobState
from orchestrator.spec.messages import EventView, JobView, LogFile, ResultsView, SubmitReply, SubmitRequest
from orchestrator.spec.profile import ClusterProfile
from orchestrator.store import events, jobs, runs, trials
from orchestrator.store.database import Store
from orchestrator.store.records import JobRecord

_OPEN = frozenset(JobState) - TERMINAL


class JobService:
    """Submit, look at, cancel, retry, hold, release and resize jobs.

    Args:
        store: the open store.
        profile: the cluster.
        backend: its engine; asked for its capacity at submit.
        clock: for the times of records.
        ids: where job identifiers come from.
        runs_root: job directories lie under it.
        workloads: what knows documents; default: the real ones.
        state_directory: datasets lie under it; default: the user's.
        probe: called before and after every commit.
    """

    def __init__(
        self,
        store: Store,
        profile: ClusterProfile,
        backend: Backend,
        clock: Clock,
        ids: IdSource,
        runs_root: Path,
        *,
        workloads: Workloads | None = None,
        state_directory: Path | None = None,
        probe: Probe = no_probe,
    ) -> None:
        self._site = Site(store, backend, profile, clock, ids, runs_root, workloads or Workloads.standard(), probe)
        self._submission = Submission(self._site, state_directory or state_dir())
        self._views = Views(self._site)

    @property
    def site(self) -> Site:
        """What it works with; `snapshot.current_snapshot` takes it."""
        return self._site

    def submit(
        self,
        request: SubmitRequest,
        owner: str,
        *,
        highest: int | None = None,
        teams: Collection[str] | None = None,
    ) -> SubmitReply:
        """Queue a workload; acknowledged only when it is on the disk.

        Args:
            request: the workload.
            owner: who submits it.
            highest: priority that this person may give; None: any.
            teams: that this person may charge; None: all.

        Raises:
            NotAllowed: its priority is higher, or its team another; nothing was created.
            SpecError, UsageError: the workload is wrong or can never run here; nothing was created.
            Conflict: the client key was used for something else.
            StoreError: the disk is full; nothing was created.
        """
        return self.submit_many([request], owner, highest=highest, teams=teams)[0]

    def submit_many(
        self,
        requests: Sequence[SubmitRequest],
        owner: str,
        *,
        highest: int | None = None,
        teams: Collection[str] | None = None,
    ) -> builtins.list[SubmitReply]:
        """Queue workloads, all or none; acknowledged only when they are on the disk. Each may depend on those before.

        Raises:
            NotAllowed, SpecError, UsageError, Conflict, StoreError: as `submit`, of all of them at once.
        """
        taken = self._submission.take_many(requests, owner, highest=highest, teams=teams)
        with self._site.store.read() as connection:
            views = self._views.of(connection, [one.job for one in taken])
        return [
            SubmitReply(job=view, created=one.created, warnings=list(one.warnings))
            for view, one in zip(views, taken, strict=True)
        ]

    def get(self, job: str) -> JobView:
        """One job, with its runs.

        Raises:
            NotFound: there is none with this identifier.
        """
        with self._site.store.read() as connection:
            return self._views.of_all(connection, [jobs.look(connection, job)])[0]

    def list(
        self, *, states: Sequence[str] | None = None, limit: int = 100, name: str | None = None
    ) -> builtins.list[JobView]:
        """Jobs, newest first.

        Raises:
            UsageError: an unknown state.
        """
        wanted = None if states is None else {_state(state) for state in states}
        with self._site.store.read() as connection:
            return self._views.of_all(connection, jobs.page(connection, states=wanted, name=name, limit=limit))

    def cancel(self, job: str, by: str = "somebody") -> JobView:
        """Stop a job for good; asking again changes nothing.

        Raises:
            NotFound: there is none.
            Conflict: it has succeeded or failed already.
        """
        with self._site.commit("cancel") as connection:
            record = jobs.get(connection, job)
            if record.state in {JobState.SUCCEEDED, JobState.FAILED}:
                raise Conflict(f"job {job} {record.state.clause} already", hint="nothing was changed")
            if record.state not in {JobState.CANCELLING, JobState.CANCELLED}:
                self._cancel(connection, record, by)
        return self.get(job)

    def retry(self, job: str, by: str = "somebody") -> JobView:
        """Queue a job again that failed or was cancelled, at its old place and with fresh budgets.

        Raises:
            NotFound: there is none.
            Conflict: it has not ended, or it has succeeded.
        """
        with self._site.commit("retry") as connection:
            record = jobs.get(connection, job)
            if record.state not in {JobState.FAILED, JobState.CANCELLED}:
                raise Conflict(f"job {job} {record.state.clause}", hint="only a failed or cancelled job can be retried")
            fresh: dict[str, Any] = {"failures": {}, "not_before": None, "finished_at": None}
            fresh["waits_since"] = self._site.clock.now()
            self._move(connection, record, JobState.QUEUED, f"queued again: {by} asked for a retry", **fresh)
        return self.get(job)

    def hold(self, job: str, by: str = "somebody") -> JobView:
        """Keep a queued job from starting; what was being freed for it is for others again.

        Raises:
            NotFound: there is none.
            Conflict: it is not queued, here or in the engine's own queue.
        """
        holding.hold(self._site, job, by)
        return self.get(job)

    def release(self, job: str, by: str = "somebody") -> JobView:
        """Let a held job start when its turn comes.

        Raises:
            NotFound: there is none.
            Conflict: it is not held.
        """
        holding.release(self._site, job, by)
        return self.get(job)

    def set_priority(self, job: str, priority: int, by: str = "somebody") -> JobView:
        """Give a job another priority, whether it waits or runs; its history tells who did.

        Raises:
            NotFound: there is none.
            UsageError: no priority.
            Conflict: it is over.
        """
        operators.set_priority(self._site, job, priority, by)
        return self.get(job)

    def drain(self, node: str, note: str, by: str = "somebody") -> None:
        """Start nothing new on a node; what runs there goes on.

        Raises:
            NotFound: the cluster has no such node.
        """
        operators.mark_node(self._site, node, "drained", note=note, by=by)

    def evict(self, node: str, by: str = "somebody") -> Sequence[str]:
        """Preempt what runs on a node: it checkpoints, and goes on elsewhere; nothing there: nothing changes.

        Returns:
            The jobs that were asked to stop, without those that were before.
        """
        return evicting.evict(self._site, node, by)

    def resume(self, node: str, by: str = "somebody") -> None:
        """Start on a drained node again.

        Raises:
            NotFound: the cluster has no such node, and nobody drained one of this name.
        """
        operators.mark_node(self._site, node, "up", note="", by=by)

    def resize(self, job: str, workers: int | None, by: str = "somebody") -> JobView:
        """Give a running job another number of workers; the controller tells the run, and it goes on without a stop.

        The policy leaves its width alone from then on; without a number it chooses again.

        Raises:
            NotFound: there is no such job.
            UsageError: it can never have so many workers.
            Conflict: it does not run, another resize is under way, or there is no room.
            BackendUnavailable: the engine does not say what is free.
        """
        capacity = None if workers is None else self._site.backend.capacity()
        with self._site.commit("resize") as connection:
            record = jobs.get(connection, job)
            if workers is None or capacity is None:
                unpin(self._site, connection, record, by)
            else:
                Pin(self._site, connection, record, workers, by).begin(capacity)
        return self.get(job)

    def checkpoint(self, job: str, key: str | None = None, by: str = "somebody") -> JobView:
        """Ask a running job for a checkpoint, once however often with one key; its history tells when it is written.

        Raises:
            NotFound: there is no such job.
            UsageError: it is none that writes checkpoints when it is asked to.
            Conflict: it does not run.
        """
        with self._site.commit("checkpoint") as connection:
            ask_for_checkpoint(self._site, connection, jobs.get(connection, job), key, by)
        return self.get(job)

    def events(self, job: str, after: int = 0, limit: int = 1000) -> builtins.list[EventView]:
        """A job's history after the event `after`, oldest first."""
        with self._site.store.read() as connection:
            jobs.get(connection, job)
            return [EventView(**event.__dict__) for event in events.after(connection, job, after, limit)]

    def results(self, job: str) -> ResultsView:
        """What a job has found so far."""
        with self._site.store.read() as connection:
            record = jobs.get(connection, job)
            view = self._views.of(connection, [record])[0]
            found = trials.of_job(connection, job)
        folder = self._site.job_directory(job)
        if record.state is not JobState.SUCCEEDED:  # trials move also when nobody tells of it
            found = files.newest_trials(job, folder.trials, found)
        members = [files.trial_view(trial) for trial in found]
        return ResultsView(
            job=view,
            summary=files.summary(folder.results),
            trials=members,
            search=search_view(self._site.workload_of(record), members),
            files=files.result_files(folder.results),
            tracking=self._views.tracking(record),
        )

    def logs(self, job: str) -> builtins.list[LogFile]:
        """The log files of all runs of a job, oldest run first.

        Raises:
            NotFound: there is no such job; or it has none because somebody removed them.
        """
        found = [log for run in self._runs_of(job) for log in files.logs_of(self._site.job_directory(job).run(run))]
        with self._site.store.read() as connection:
            gone = "" if found else vanished(self._site, runs.newest_of(connection, job))
        if gone:
            raise NotFound(gone, hint=f"orchestrator why {job}")
        return found

    def log_path(self, job: str, run: str | None, name: str) -> Path:
        """One log file; without a run, the newest run's that has it.

        Raises:
            NotFound: no such job, run or log; a name that leads out of the logs folder is no log.
        """
        known = self._runs_of(job)
        if run is not None and run not in known:
            raise NotFound(f"job {job} has no run {run!r}", hint=f"orchestrator status {job} lists its runs")
        wanted = [run] if run is not None else known[::-1]
        return files.log_path(job, [self._site.job_directory(job).run(r) for r in wanted], name)

    def resolve(self, prefix_or_name: str) -> str:
        """The job that an identifier, the unique beginning of one, or a name stands for.

        Raises:
            NotFound: none.
            Conflict: several.
        """
        with self._site.store.read() as connection:
            return _resolve(connection, prefix_or_name)

    def open_jobs(self) -> int:
        """How many jobs are not over; an embedded server with none may end."""
        with self._site.store.read() as connection:
            return jobs.count(connection, _OPEN)

    def refuse_other_clusters(self, served: Mapping[str, str]) -> None:
        """Called before a server takes jobs up: those of another profile or engine were checked against that one.

        Args:
            served: the profiles that were served before, by the names of their clusters.

        Raises:
            Conflict: there are some that are not over; the message names them.
        """
        profile, backend = self._site.profile.name, self._site.backend.name
        with self._site.store.read() as connection:
            foreign = jobs.profiles(connection, _OPEN)
            held = {run.job: f"engine {run.backend}" for run in runs.unreleased(connection) if run.backend != backend}
        found = {job: f"profile {name}" for job, name in foreign.items() if name != profile} | held
        if found:
            shown = ", ".join(f"{job} ({where})" for job, where in sorted(found.items())[:5])
            more = f" and {len(found) - 5} more" if len(found) > 5 else ""
            raise Conflict(
                f"jobs of another cluster than profile {profile} (engine {backend}) are not over: {shown}{more}",
                hint=_serve_first({name for name in foreign.values() if name != profile}, served),
            )

    def _runs_of(self, job: str) -> builtins.list[str]:
        with self._site.store.read() as connection:
            jobs.get(connection, job)
            return [run.id for run in runs.of_jobs(connection, [job])[job]]

    def _cancel(self, connection: Connection, job: JobRecord, by: str) -> None:
        held = runs.stop_all_of(connection, job.id, "cancel")
        if job.state in {JobState.QUEUED, JobState.HELD} and not held:
            now = self._site.clock.now()
            when = "before it began" if job.started_at is None else "while it waited"
            self._move(connection, job, JobState.CANCELLED, f"cancelled by {by} {when}", finished_at=now)
            return
        reason = f"cancelled by {by}; waits until its slots are free"
        self._move(connection, job, JobState.CANCELLING, reason, data={"by": by})

    def _move(self, connection: Connection, job: JobRecord, new: JobState, reason: str, **changes: Any) -> None:
        jobs.move(connection, job, new, reason=reason, time=self._site.clock.now(), **changes)


def _serve_first(clusters: Collection[str], served: Mapping[str, str]) -> str:
    commands = [f"orchestrator serve --profile {shlex.quote(served.get(name, 'PATH'))}" for name in sorted(clusters)]
    shown = f": {'; '.join(commands)}" if commands else ""
    return f"serve theirs until they are over, or to cancel them{shown}"


def _state(text: str) -> JobState:
    try:
        return JobState(text.lower())
    except ValueError:
        known = ", ".join(JobState)
        raise UsageError(f"there is no state {text!r}", hint=f"one of {known}") from None


def _resolve(connection: Connection, text: str) -> str:
    matches = jobs.with_prefix(connection, text, 6) if len(text) > 2 else []
    if text in matches:
        return text
    if not matches:
        named = jobs.newest(connection, states=None, name=text, limit=6)
        unfinished = [job for job in named if not job.state.terminal]
        matches = [job.id for job in (unfinished if len(unfinished) == 1 else named)]
    if not matches:
        raise NotFound(f"there is no job {text!r}", hint="orchestrator jobs lists them")
    if len(matches) > 1:
        shown = ", ".join(matches[:5]) + (", …" if len(matches) > 5 else "")
        raise Conflict(f"{text!r} stands for several jobs: {shown}", hint="give more of the identifier")
    return matches[0]
