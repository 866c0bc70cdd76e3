"""`Lab`: a store, a controller and a real engine in one folder: real processes, real time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orchestrator.backends.build import backend_of
from orchestrator.backends.local import LocalBackend
from orchestrator.backends.protocol import Backend
from orchestrator.base.clock import RandomIds, SystemClock
from orchestrator.control.loop import Controller
from orchestrator.control.service import JobService
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.rundir.membership import View, newest_view
from orchestrator.spec.messages import JobView, SubmitRequest
from orchestrator.spec.profile import ClusterProfile
from orchestrator.store.database import open_store
from orchestrator.testing.paced import BRISK

_PATIENCE = 400.0
_WATCH = {"poll": 0.1, "cancel_grace": 20.0}
_TURN = 0.25
"""Seconds between two looks at what is waited for: what is tested shall have the machine."""


class Lab:
    """Everything but people.

    Args:
        root: everything lies under it.
        cores: slots of this machine that are used.
        policy: of the profile.
    """

    def __init__(self, root: Path, *, cores: int, policy: str | Mapping[str, Any] = "default") -> None:
        sections = {
            "name": "here",
            "backend": "local",
            "nodes": [{"cpus": cores, "gpus": 0}],
            "policy": policy,
            "watch": _WATCH,
        }
        profile = ClusterProfile.model_validate(sections)
        self._open(root, profile, LocalBackend(profile, state=root, slots=root / "slots"))

    @classmethod
    def on_slurm(cls, root: Path, slurm: Mapping[str, Any], **watch: float) -> Lab:
        """The same with a Slurm cluster as its engine.

        Args:
            root: everything lies under it.
            slurm: the section `slurm` of the profile.
            watch: what differs in the section `watch`.
        """
        sections = {"name": "there", "backend": "slurm", "slurm": slurm, "watch": {**_WATCH, **watch}}
        profile = ClusterProfile.model_validate(sections)
        lab = cls.__new__(cls)
        lab._open(root, profile, backend_of(profile, state=root))
        return lab

    @classmethod
    def on_ray(cls, root: Path, ray: Mapping[str, Any], *, policy: str | Mapping[str, Any] = "default") -> Lab:
        """The same with a Ray cluster as its engine.

        Args:
            root: everything lies under it.
            ray: the section `ray` of the profile.
            policy: of the profile.
        """
        watch = {**_WATCH, "poll": 0.5, "lost_after": 5.0}
        sections = {"name": "there", "backend": "ray", "ray": ray, "policy": policy, "watch": watch}
        profile = ClusterProfile.model_validate(sections)
        lab = cls.__new__(cls)
        lab._open(root, profile, backend_of(profile, state=root))
        return lab

    def _open(self, root: Path, profile: ClusterProfile, backend: Backend) -> None:
        self._root = root
        self.backend = backend
        self._store = open_store(root / "store.sqlite", clock=SystemClock())
        common = (SystemClock(), RandomIds(), root / "runs")
        self.service = JobService(self._store, profile, backend, *common, state_directory=root)
        self._controller = Controller(self._store, backend, profile, *common)

    def submit(self, document: Mapping[str, Any]) -> str:
        """Queue a workload; the job's identifier."""
        return self.service.submit(SubmitRequest(source=json.dumps(document), workdir=str(self._root)), "me").job.id

    def until(self, holds: Callable[[], bool]) -> None:
        """Passes of the controller until something is so.

        Raises:
            AssertionError: it is not for minutes.
        """
        deadline = time.monotonic() + _PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError([(job.id, job.state, job.reason) for job in self.service.list()])
            time.sleep(min(_TURN, self._controller.step()))

    def finish(self) -> None:
        """Until every job is over; what is paced takes its time no longer."""

        def over() -> bool:
            for folder in (self._root / "runs" / "jobs").glob("*/"):
                (folder / BRISK).touch()
            return self.service.open_jobs() == 0

        self.until(over)

    def job(self, job: str) -> JobView:
        """A job as people see it."""
        return self.service.get(job)

    def told(self, job: str, kind: str) -> list[str]:
        """What its history says of one kind."""
        return [event.message for event in self.service.events(job, limit=10_000) if event.kind == kind]

    def advances(self, job: str, samples: int) -> None:
        """Wait until it has trained on so many more samples."""

        def seen() -> float:
            progress = self.job(job).progress
            return 0 if progress is None else progress.samples

        begin = seen()
        self.until(lambda: seen() >= begin + samples)

    def run(self, job: str, number: int = 1) -> RunDirectory:
        """The files of one of its runs."""
        return JobDirectory.under(self._root / "runs", job).run(f"{job}-r{number}")

    def view(self, job: str) -> View:
        """Who shares the work of its first run.

        Raises:
            AssertionError: nobody yet.
        """
        found = newest_view(self.run(job))
        if found is None:
            raise AssertionError(f"{job} has no view")
        return found

    def silence(self) -> str:
        """Since when the engine does not answer; empty where it does."""
        return self._controller.silence()

    def summary(self, job: str) -> dict[str, Any]:
        """What a job has found."""
        return self.service.results(job).summary

    def close(self) -> None:
        """Cancel what still runs, and close engine and store."""
        for job in self.service.list():
            if not job.terminal:
                self.service.cancel(job.id)
        self.finish()
        self.backend.close()
        self._store.close()
