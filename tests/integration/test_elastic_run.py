"""A running training is resized and loses its leader, and ends with the parameters of an undisturbed one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.base.errors import Conflict
from orchestrator.base.slots import SLOTS_VARIABLE
from orchestrator.testing.lab import Lab

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


def train(lab: Lab, name: str, workers: str) -> str:
    return lab.submit({**TRAINING, "name": name, "resources": {"workers": workers}})


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
    monkeypatch.setenv(SLOTS_VARIABLE, str(tmp_path / "slots"))
    lab = Lab(tmp_path, cores=5)
    yield lab
    lab.close()


def test_a_storm_changes_the_workers_and_not_the_result(lab: Lab) -> None:
    calm, job = train(lab, "calm", "1"), train(lab, "stormy", "1..3")
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
