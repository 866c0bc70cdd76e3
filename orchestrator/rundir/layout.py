"""Where each file of a job and of a run lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class JobDirectory:
    """`jobs/<job>`: what all runs of a job share."""

    path: Path

    @classmethod
    def under(cls, root: Path, job: str) -> JobDirectory:
        """The directory of `job` under a profile's `runs_dir`."""
        return cls(cls.all_under(root) / job)

    @staticmethod
    def all_under(root: Path) -> Path:
        """The folder of the directories of all jobs."""
        return root / "jobs"

    @property
    def spec(self) -> Path:
        """The frozen workload."""
        return self.path / "spec.yaml"

    @property
    def about(self) -> Path:
        """Who submitted the job, and from which version of their code."""
        return self.path / "job.json"

    @property
    def fence(self) -> Path:
        """The newest fencing token."""
        return self.path / "fence"

    @property
    def dataset_version(self) -> Path:
        """The version of the data that all runs see."""
        return self.path / "dataset_version"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of all runs."""
        return self.path / "checkpoints"

    @property
    def trials(self) -> Path:
        """Records of a search's trials."""
        return self.path / "trials"

    @property
    def results(self) -> Path:
        """Files for people."""
        return self.path / "results"

    @property
    def tracking(self) -> Path:
        """Metrics on their way to the tracker."""
        return self.path / "tracking"

    def run(self, run: str) -> RunDirectory:
        """The directory of one of the job's runs."""
        return RunDirectory(self.path / "runs" / run)

    def create(self) -> None:
        """Make the folders; harmless where they exist."""
        for folder in (self.checkpoints, self.trials, self.results, self.tracking, self.path / "runs"):
            folder.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class RunDirectory:
    """`jobs/<job>/runs/<run>`: one launch."""

    path: Path

    @property
    def run(self) -> str:
        """The run's identifier."""
        return self.path.name

    @property
    def job(self) -> JobDirectory:
        """The job's directory."""
        return JobDirectory(self.path.parent.parent)

    @property
    def launch(self) -> Path:
        """What the agents start."""
        return self.path / "launch.json"

    @property
    def control(self) -> Path:
        """What the controller wants."""
        return self.path / "control.json"

    @property
    def events(self) -> Path:
        """One folder for each writer of events."""
        return self.path / "events"

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.path / "logs"

    def create(self) -> None:
        """Make the folders; harmless where they exist."""
        for folder in (self.events, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
