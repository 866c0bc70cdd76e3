"""A training makes room for others as the policy asks, and ends with the parameters of an undisturbed one."""

from collections.abc import Callable

import pytest
from training_kit import BRIEF, Training, Undisturbed

from orchestrator.testing.lab import Lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

POLICY = {
    "preset": "priority",
    "round": 0.2,
    "preemption": {"min_run": 0},
    "elastic": {"between": 0, "grow": "never"},
}


def width(lab: Lab, job: str) -> int:
    return lab.job(job).runs[-1].world_size


def test_a_training_that_shrinks_and_is_preempted_ends_as_an_undisturbed_one(
    make_lab: Callable[..., Lab], training: Training, undisturbed: Undisturbed
) -> None:
    lab = make_lab(2, policy=POLICY)
    document = training("brief", BRIEF, "1..2")
    job = lab.submit(document)
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
    assert lab.summary(job)["parameters_sha256"] == undisturbed(document)
    assert lab.summary(job)["exact_until"] is None
