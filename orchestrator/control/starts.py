"""A run written down, its directory made, the engine asked: in this order, so that a crash anywhere loses nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from orchestrator.base.errors import BackendUnavailable, LaunchRefused, OrchestratorError, SpecError
from orchestrator.base.text import binary, one_line
from orchestrator.control.endings import Ending, end_run
from orchestrator.control.launching import Launching
from orchestrator.control.site import Site
from orchestrator.control.yielding import refuse_overbooking
from orchestrator.lifecycle.failures import FailureClass
from orchestrator.lifecycle.states import JobState, RunState
from orchestrator.rundir.fence import read_fence
from orchestrator.rundir.layout import JobDirectory
from orchestrator.scheduling.decisions import Start
from orchestrator.store import jobs, runs
from orchestrator.store.faults import free_bytes
from orchestrator.store.records import JobRecord, Placed, RunRecord

_LOG = logging.getLogger(__name__)


class Starts:
    """Carries out decisions to start."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._launching = Launching(site)

    def begin(self, start: Start, node_slots: Mapping[str, int]) -> bool:
        """Write a run down and ask the engine for it.

        Args:
            start: the decision.
            node_slots: that each node has for us.

        Returns:
            False where the engine did not answer: nothing more should be asked of it in this pass.

        Raises:
            Stale: somebody has given the slots away since the snapshot; nothing was changed.
        """
        try:
            run = self._write_down(start, node_slots)
        except SpecError as error:
            self.give_up(start.job, error)
            return True
        return run is None or self.resume(run)

    def resume(self, run: RunRecord) -> bool:
        """Launch a run that was written down and that the engine does not know (yet).

        Returns:
            False where the engine did not answer; the next look at it shows whether it started the run.
        """
        with self._site.store.read() as connection:
            job = jobs.get(connection, run.job)
        try:
            self._launching.run(job, run, None)
        except Exception as error:
            return self.not_launched(job, run, error)
        self.launched(run)
        return True

    def not_launched(self, job: JobRecord, run: RunRecord, error: Exception) -> bool:
        """What a launch raised: the end of the run, or of this attempt.

        Returns:
            False where the engine did not answer.

        Raises:
            Exception: any other that the launch raised.
        """
        match error:
            case BackendUnavailable():
                self._tell(job, f"the engine has not accepted {run.id} yet: {one_line(error.message, 300)}")
                return False
            case LaunchRefused() | SpecError():
                self._over(run, Ending("failed", one_line(str(error), 1000), FailureClass.PERMANENT))
            case OrchestratorError():  # its directory has a newer token, or one that cannot be read
                self._over(run, Ending("failed", one_line(str(error), 1000), FailureClass.INFRASTRUCTURE))
            case OSError():
                self._tell(job, self._cannot_write(error))
            case _:
                raise error
        return True

    def launched(self, run: RunRecord) -> None:
        """The engine has it."""
        with self._site.commit("launched") as connection:
            runs.change(connection, run, state=RunState.LAUNCHED)
            job = jobs.get(connection, run.job)
            if job.state is JobState.STARTING:
                jobs.set_columns(connection, job, reason=starting(run))

    def _write_down(self, start: Start, node_slots: Mapping[str, int]) -> RunRecord | None:
        with self._site.commit("start") as connection:
            job = jobs.get(connection, start.job)
            if job.state is not JobState.QUEUED:
                return None  # cancelled or held since the snapshot
            run = new_run(
                self._site,
                job,
                workers=start.workers,
                wanted=start.workers,
                placement=tuple((node, workers) for node, workers in start.placement),
                pinned=runs.pins(connection).get(job.id) == start.workers,
            )
            write_down(connection, job, run)
            refuse_overbooking(connection, start.placement, node_slots)
        return run

    def give_up(self, queued: str, error: SpecError) -> None:
        """No run of it can even be written down."""
        now = self._site.clock.now()
        with self._site.commit("given up") as connection:
            job = jobs.get(connection, queued)
            if job.state is JobState.QUEUED:
                reason = one_line(str(error), 1000)
                jobs.move(connection, job, JobState.FAILED, reason=reason, time=now, finished_at=now)

    def _over(self, run: RunRecord, ending: Ending) -> None:
        with self._site.commit("not launched") as connection:
            end_run(connection, self._site, run, ending)

    def _cannot_write(self, error: OSError) -> str:
        root = self._site.runs_root
        return f"its run directory cannot be written ({error}); {binary(free_bytes(root))} are free under {root}"

    def _tell(self, job: JobRecord, reason: str) -> None:
        """What keeps a job in STARTING; the next pass tries again."""
        if job.reason != reason:
            _LOG.warning("job %s: %s", job.id, reason)
            with self._site.commit("not launched yet") as connection:
                jobs.set_reasons(connection, {job.id: reason}, JobState.STARTING)


def new_run(
    site: Site, job: JobRecord, *, workers: int, wanted: int, placement: Placed = (), pinned: bool = False
) -> RunRecord:
    """The next run of a job.

    Args:
        site: where.
        job: whose.
        workers: that it is launched with.
        wanted: that it should have.
        placement: of them; empty: the engine chooses.
        pinned: a person chose the width.

    Raises:
        SpecError: what is stored is no workload.
    """
    directory = site.job_directory(job.id)
    number, token = _next_number(job, directory), max(job.token, _fence_of(directory)) + 1
    limits = (site.workload_of(job).time_limit, site.profile.limits.max_time)
    return RunRecord(
        id=f"{job.id}-r{number}",
        job=job.id,
        number=number,
        token=token,
        allocation=f"{job.id}-r{number}.0",
        backend=site.backend.name,
        state=RunState.CREATED,
        world_size=workers,
        wanted=wanted,
        slots=workers * job.slots_per_worker,
        placement=placement,
        worked=job.worked,
        pinned=pinned,
        time_limit=min((limit for limit in limits if limit is not None), default=None),
        created_at=site.clock.now(),
    )


def write_down(connection: Connection, job: JobRecord, run: RunRecord) -> None:
    """Before the engine is asked for it."""
    runs.insert(connection, run)
    changes: dict[str, Any] = {"token": run.token, "runs": run.number, "not_before": None, "progress": None}
    time = run.created_at
    jobs.move(connection, job, JobState.STARTING, reason=starting(run), time=time, run=run.id, **changes)


def starting(run: RunRecord) -> str:
    """Why a job is STARTING."""
    return f"{run.id} is being started on {run.world_size} worker{'s' if run.world_size > 1 else ''}"


def _next_number(job: JobRecord, directory: JobDirectory) -> int:
    """Above every run that the store or, after it was restored from a backup, the disk knows."""
    folder, numbers = directory.path / "runs", [job.runs]
    if folder.is_dir():
        suffixes = (path.name.removeprefix(f"{job.id}-r") for path in folder.iterdir())
        numbers += [int(suffix) for suffix in suffixes if suffix.isdecimal()]
    return max(numbers) + 1


def _fence_of(directory: JobDirectory) -> int:
    """The newest token on the disk; 0 where it cannot be read: `_prepare` meets the same trouble and fails the run."""
    try:
        return read_fence(directory)
    except (OSError, OrchestratorError):
        return 0
