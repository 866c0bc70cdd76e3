"""A running training is resized and loses its leader, and ends with the parameters of an undisturbed one."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.backends.local import LocalBackend
from orchestrator.base.clock import RandomIds, SystemClock
from orchestrator.base.errors import Conflict
from orchestrator.base.slots import SLOTS_VARIABLE
from orchestrator.control.loop import Controller
from orchestrator.control.service import JobService
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.rundir.membership import View, newest_view
from orchestrator.spec.messages import JobView, SubmitRequest
from orchestrator.spec.profile import ClusterProfile, Node, Watch
from orchestrator.store.database import open_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TRAINING = {
    "recipe": "regnet",
    "seed": 1,
    "data": {"dataset": "digits", "image_size": 16},
    "model": {"stem": "cifar", "stem_width": 8, "depth": 4, "w0": 8, "wa": 8.0, "wm": 2.0, "group_width": 8},
    "optim": {"lr": 0.05},
    "train": {"epochs": 200, "max_steps": 600, "batch_size": 64, "samples_per_virtual_worker": 16},
    "retry": {"application": 0},
}


class Lab:
    """A controller, this machine's engine with five slots, and trainings."""

    def __init__(self, root: Path) -> None:
        profile = ClusterProfile(
            name="here", backend="local", nodes=[Node(cpus=5, gpus=0)], watch=Watch(poll=0.05, cancel_grace=20)
        )
        backend = LocalBackend(profile, state=root, slots=root / "slots")
        self._root = root
        self._store = open_store(root / "store.sqlite", clock=SystemClock())
        common = (SystemClock(), RandomIds(), root / "runs")
        self.service = JobService(self._store, profile, backend, *common, state_directory=root)
        self._controller = Controller(self._store, backend, profile, *common)

    def train(self, name: str, workers: str) -> str:
        source = json.dumps({**TRAINING, "name": name, "resources": {"workers": workers}})
        return self.service.submit(SubmitRequest(source=source, workdir=str(self._root)), "me").job.id

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 400
        while not holds():
            assert time.monotonic() < deadline, [(job.state, job.reason) for job in self.service.list()]
            time.sleep(min(0.05, self._controller.step()))

    def finish(self) -> None:
        self.until(lambda: self.service.open_jobs() == 0)

    def job(self, job: str) -> JobView:
        return self.service.get(job)

    def told(self, job: str, kind: str) -> list[str]:
        return [event.message for event in self.service.events(job, limit=10_000) if event.kind == kind]

    def advances(self, job: str, samples: int) -> None:
        """Wait until it has trained on so many more samples."""

        def seen() -> float:
            progress = self.job(job).progress
            return 0 if progress is None else progress.samples

        begin = seen()
        self.until(lambda: seen() >= begin + samples)

    def run(self, job: str) -> RunDirectory:
        return JobDirectory.under(self._root / "runs", job).run(f"{job}-r1")

    def view(self, job: str) -> View:
        found = newest_view(self.run(job))
        assert found is not None
        return found

    def summary(self, job: str) -> dict[str, Any]:
        return self.service.results(job).summary

    def close(self) -> None:
        for job in self.service.list():
            if not job.terminal:
                self.service.cancel(job.id)
        self.finish()
        self._store.close()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
    monkeypatch.setenv(SLOTS_VARIABLE, str(tmp_path / "slots"))
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def test_a_storm_changes_the_workers_and_not_the_result(lab: Lab) -> None:
    calm, job = lab.train("calm", "1"), lab.train("stormy", "1..3")
    lab.advances(job, 200)
    first = lab.view(job)
    assert len(first.members) == 3

    lab.service.resize(job, 1)
    with pytest.raises(Conflict, match="is being resized from 3 to 1 worker already"):
        lab.service.resize(job, 2)
    lab.until(lambda: lab.job(job).state == "running")
    lab.advances(job, 200)
    assert lab.view(job).members == first.members[:1]

    lab.service.checkpoint(job)
    lab.until(lambda: bool(lab.told(job, "checkpoint")))

    lab.service.resize(job, 2)
    lab.until(lambda: lab.job(job).state == "running")
    lab.advances(job, 200)
    grown = lab.view(job)
    assert (grown.members[0].pid, len(grown.members)) == (first.members[0].pid, 2)

    os.kill(grown.members[0].pid, signal.SIGKILL)
    lab.until(lambda: "now on 1 worker: a worker was lost" in lab.told(job, "resized"))
    lab.finish()

    view = lab.job(job)
    assert (view.state, len(view.runs)) == ("succeeded", 1)
    assert lab.summary(job)["parameters_sha256"] == lab.summary(calm)["parameters_sha256"]
    assert lab.summary(job)["exact_until"] is None
    assert view.goodput is not None
    assert view.goodput.useful_seconds > 0
