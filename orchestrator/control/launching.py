"""`Launching`: a run's directory is made and the engine is asked; nothing of the store is touched."""

from __future__ import annotations

from orchestrator.backends.protocol import LaunchRequest, Terms
from orchestrator.base.files import write_atomic, write_json
from orchestrator.control.site import Site
from orchestrator.control.stops import first_wish
from orchestrator.planning.launch import launch_for
from orchestrator.rundir.control import write_control
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.launch import Launch, write_launch
from orchestrator.store.records import JobRecord, RunRecord


class Launching:
    """Threads may share it."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def run(self, job: JobRecord, run: RunRecord, terms: Terms | None) -> None:
        """Make the directory of a run that was written down, and ask the engine for it.

        Raises:
            BackendUnavailable: the engine does not answer; the next look at it shows whether it started the run.
            LaunchRefused, SpecError: it can never start.
            OrchestratorError: its directory has a newer token, or one that cannot be read.
            OSError: its directory cannot be written.
        """
        launch = self._prepare(job, run)
        directory = self._site.run_directory(run)
        memory = job.needs.get("memory", 0)
        self.ask(LaunchRequest(run.allocation, directory, launch, run.time_limit, run.placement, terms, memory))

    def ask(self, request: LaunchRequest) -> None:
        """Ask the engine for an allocation whose run has its directory."""
        with self._site.engine("launch") as backend:
            backend.launch(request)

    def _prepare(self, job: JobRecord, run: RunRecord) -> Launch:
        """Everything that an agent reads; harmless where it is there already.

        The fence alone must survive a power cut: a run that finds the rest missing fails, and the next one has it.
        """
        folder, directory = self._site.job_directory(job.id), self._site.run_directory(run)
        folder.create()
        directory.create()
        raise_fence(folder, run.token)
        write_atomic(folder.spec, job.workload.encode(), durable=False)
        about = {"owner": job.owner, "code": {"revision": job.revision, "dirty": job.dirty}}
        write_json(folder.about, about, durable=False)
        launch = launch_for(
            self._site.workload_of(job),
            job=job.id,
            run=run.id,
            token=run.token,
            workers=run.world_size,
            workdir=job.workdir,
            environment=job.environment,
            python=self._site.profile.python,
        )
        write_launch(directory, launch, durable=False)
        if not directory.control.exists():
            write_control(directory, first_wish(self._site, run), durable=False)
        return launch
