"""What every part of the controller works with: store, engine, profile, clock, and where run directories lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from orchestrator.backends.protocol import Backend
from orchestrator.base.clock import Clock, IdSource
from orchestrator.base.errors import SpecError
from orchestrator.base.text import one_line
from orchestrator.control.workloads import Workloads
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.spec.profile import ClusterProfile
from orchestrator.spec.workload import Workload
from orchestrator.store.database import Store
from orchestrator.store.records import JobRecord, RunRecord

Probe = Callable[[str], None]


def no_probe(name: str) -> None:
    """Nothing happens at the named point."""


@dataclass(frozen=True)
class Site:
    """One store, one engine, and what joins them.

    Attributes:
        store: the open store.
        backend: the engine.
        profile: the cluster.
        clock: wall-clock time for records, monotonic time for every time-out.
        ids: where new identifiers come from.
        runs_root: job directories lie under it.
        workloads: what knows documents.
        probe: called before and after every commit and every engine call; tests kill there.
    """

    store: Store
    backend: Backend
    profile: ClusterProfile
    clock: Clock
    ids: IdSource
    runs_root: Path
    workloads: Workloads
    probe: Probe = no_probe

    @contextmanager
    def commit(self, name: str) -> Iterator[Connection]:
        """A write transaction between two probes."""
        with self.store.write() as connection:
            yield connection
            self.probe(f"before commit {name}")
        self.probe(f"after commit {name}")

    @contextmanager
    def engine(self, name: str) -> Iterator[Backend]:
        """An engine call between two probes."""
        self.probe(f"before engine {name}")
        yield self.backend
        self.probe(f"after engine {name}")

    def workload_of(self, job: JobRecord) -> Workload:
        """What a job runs, as it was stored at submit.

        Raises:
            SpecError: what is stored is no workload.
        """
        try:
            return self.workloads.thaw(job.workload)
        except SpecError as error:
            what = f"the stored workload of job {job.id} cannot be read ({one_line(error.message, 300)})"
            raise SpecError(what, hint="submit it again") from None

    def job_directory(self, job: str) -> JobDirectory:
        """Where a job's files lie."""
        return JobDirectory.under(self.runs_root, job)

    def run_directory(self, run: RunRecord) -> RunDirectory:
        """Where a run's files lie."""
        return self.job_directory(run.job).run(run.id)
