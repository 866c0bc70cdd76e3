"""A running training is resized and loses its leader, and ends with the parameters of an undisturbed one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from training_kit import STORM, Training, Undisturbed

from orchestrator.base.errors import Conflict
from orchestrator.testing.lab import Lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_storm_changes_the_workers_and_not_the_result(
    make_lab: Callable[..., Lab], training: Training, undisturbed: Undisturbed
) -> None:
    lab = make_lab(3)
    document = training("storm", STORM, "1..3")
    job = lab.submit(document)
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
    assert lab.summary(job)["parameters_sha256"] == undisturbed(document)
    assert lab.summary(job)["exact_until"] is None
    assert view.goodput is not None
    assert view.goodput.useful_seconds > 0
