"""A training makes room for others as the policy asks, and ends with the parameters of an undisturbed one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.base.slots import SLOTS_VARIABLE
from orchestrator.testing.lab import Lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

POLICY = {
    "preset": "priority",
    "round": 0.2,
    "preemption": {"min_run": 0},
    "elastic": {"between": 0, "grow": "never"},
}
TRAINING = {
    "recipe": "regnet",
    "seed": 1,
    "data": {"dataset": "digits", "image_size": 16},
    "model": {"stem": "cifar", "stem_width": 8, "depth": 4, "w0": 8, "wa": 8.0, "wm": 2.0, "group_width": 8},
    "optim": {"lr": 0.05},
    "train": {"epochs": 200, "max_steps": 200, "batch_size": 64, "samples_per_virtual_worker": 16},
    "retry": {"application": 0},
}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
    monkeypatch.setenv(SLOTS_VARIABLE, str(tmp_path / "slots"))
    lab = Lab(tmp_path, cores=2, policy=POLICY)
    yield lab
    lab.close()


def width(lab: Lab, job: str) -> int:
    return lab.job(job).runs[-1].world_size


def test_a_training_that_shrinks_and_is_preempted_ends_as_an_undisturbed_one(lab: Lab) -> None:
    job = lab.submit({**TRAINING, "name": "wide", "resources": {"workers": "1..2"}})
    lab.advances(job, 200)
    assert width(lab, job) == 2

    small = lab.submit({"name": "small", "command": "sleep 0.5"})
    lab.until(lambda: lab.job(small).state == "succeeded")
    assert "now on 1 worker, as asked" in lab.told(job, "resized")
    assert width(lab, job) == 1

    urgent = lab.submit({"name": "urgent", "command": "sleep 0.5", "priority": 100, "resources": {"workers": 2}})
    lab.until(lambda: lab.job(urgent).state == "succeeded")
    assert any(reason.startswith(f"preempted for {urgent}") for reason in lab.told(job, "state"))
    lab.finish()

    view = lab.job(job)
    assert (view.state, view.preemptions, view.failures) == ("succeeded", 1, {})
    assert [run.state for run in view.runs] == ["stopped", "succeeded"]
    calm = lab.submit({**TRAINING, "name": "calm", "resources": {"workers": "1"}})
    lab.finish()
    assert lab.summary(job)["parameters_sha256"] == lab.summary(calm)["parameters_sha256"]
    assert lab.summary(job)["exact_until"] is None
