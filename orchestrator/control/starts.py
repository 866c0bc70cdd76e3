"""A run written down, its directory made, the engine asked: in this order, so that a crash anywhere loses nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from orchestrator.backends.protocol import LaunchRequest
from orchestrator.base.errors import BackendUnavailable, LaunchRefused, OrchestratorError, SpecError
from orchestrator.base.files import write_atomic, write_json
from orchestrator.base.text import binary, one_line
from orchestrator.control.endings import Ending, end_run
from orchestrator.control.site import Site
from orchestrator.control.stops import first_wish
from orchestrator.control.yielding import refuse_overbooking
from orchestrator.lifecycle.failures import FailureClass
from orchestrator.lifecycle.states import JobState, RunState
from orchestrator.planning.launch import launch_for
from orchestrator.rundir.control import write_control
from orchestrator.rundir.fence import raise_fence, read_fence
from orchestrator.rundir.launch import Launch, write_launch
from orchestrator.rundir.layout import JobDirectory
from orchestrator.scheduling.decisions import Start
from orchestrator.store import jobs, runs
from orchestrator.store.faults import free_bytes
from orchestrator.store.records import JobRecord, RunRecord

_LOG = logging.getLogger(__name__)


class Starts:
    """Carries out decisions to start."""

    def __init__(self, site: Site) -> None:
        self._site = site

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
            self._give_up(start.job, error)
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
            self._launch(run, self._prepare(job, run))
        except BackendUnavailable as error:
            self._tell(job, f"the engine has not accepted {run.id} yet: {one_line(error.message, 300)}")
            return False
        except (LaunchRefused, SpecError) as error:
            self._over(run, Ending("failed", one_line(str(error), 1000), FailureClass.PERMANENT))
        except OrchestratorError as error:  # its directory has a newer token, or one that cannot be read
            self._over(run, Ending("failed", one_line(str(error), 1000), FailureClass.INFRASTRUCTURE))
        except OSError as error:
            self._tell(job, self._cannot_write(error))
        else:
            self.launched(run)
        return True

    def launched(self, run: RunRecord) -> None:
        """The engine has it."""
        with self._site.commit("launched") as connection:
            runs.change(connection, run, state=RunState.LAUNCHED)
            job = jobs.get(connection, run.job)
            if job.state is JobState.STARTING:
                jobs.set_columns(connection, job, reason=starting(run))

    def _write_down(self, start: Start, node_slots: Mapping[str, int]) -> RunRecord | None:
        now = self._site.clock.now()
        with self._site.commit("start") as connection:
            job = jobs.get(connection, start.job)
            if job.state is not JobState.QUEUED:
                return None  # cancelled or held since the snapshot
            directory = self._site.job_directory(job.id)
            number, token = _next_number(job, directory), max(job.token, _fence_of(directory)) + 1
            run = RunRecord(
                id=f"{job.id}-r{number}",
                job=job.id,
                number=number,
                token=token,
                allocation=f"{job.id}-r{number}.0",
                backend=self._site.backend.name,
                state=RunState.CREATED,
                world_size=start.workers,
                wanted=start.workers,
                slots=start.workers * job.slots_per_worker,
                placement=tuple((node, workers) for node, workers in start.placement),
                worked=job.worked,
                pinned=runs.pins(connection).get(job.id) == start.workers,
                time_limit=self._time_limit(job),
                created_at=now,
            )
            runs.insert(connection, run)
            refuse_overbooking(connection, start.placement, node_slots)
            changes: dict[str, Any] = {"token": token, "runs": number, "not_before": None, "progress": None}
            jobs.move(connection, job, JobState.STARTING, reason=starting(run), time=now, run=run.id, **changes)
        return run

    def _time_limit(self, job: JobRecord) -> float | None:
        limits = (self._site.workload_of(job).time_limit, self._site.profile.limits.max_time)
        return min((limit for limit in limits if limit is not None), default=None)

    def _prepare(self, job: JobRecord, run: RunRecord) -> Launch:
        """Everything that an agent reads; harmless where it is there already."""
        folder, directory = self._site.job_directory(job.id), self._site.run_directory(run)
        folder.create()
        directory.create()
        raise_fence(folder, run.token)
        write_atomic(folder.spec, job.workload.encode())
        write_json(folder.about, {"owner": job.owner, "code": {"revision": job.revision, "dirty": job.dirty}})
        workload = self._site.workload_of(job)
        launch = launch_for(
            workload,
            job=job.id,
            run=run.id,
            token=run.token,
            workers=run.world_size,
            workdir=job.workdir,
            environment=job.environment,
        )
        write_launch(directory, launch)
        if not directory.control.exists():
            write_control(directory, first_wish(run, self._site.profile.watch.cancel_grace))
        return launch

    def _launch(self, run: RunRecord, launch: Launch) -> None:
        directory = self._site.run_directory(run)
        request = LaunchRequest(run.allocation, directory, launch, run.time_limit, run.placement)
        with self._site.engine("launch") as backend:
            backend.launch(request)

    def _give_up(self, queued: str, error: SpecError) -> None:
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
