"""Trainings on a real Ray cluster of several nodes, which are lost and come back, and whose head is."""

from __future__ import annotations

import pytest
from training_kit import BRIEF, STORM, MakeLab, Training, Undisturbed

from orchestrator.rundir.membership import newest_view
from orchestrator.testing.lab import Lab
from orchestrator.testing.ray_cluster import RayCluster

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]

POLICY = {"preset": "default", "elastic": {"between": 1, "price": 0.1}}


def members(lab: Lab, job: str) -> int:
    runs = lab.job(job).runs
    view = newest_view(lab.run(job, runs[-1].number)) if runs else None
    return 0 if view is None else len(view.members)


def nodes_of(lab: Lab, job: str) -> dict[str, int]:
    """Workers of each node that the newest run has, by its own word."""
    told = [event for event in lab.service.events(job, limit=10_000) if event.kind == "resized"]
    return dict(told[-1].data["nodes"]) if told else {}


def test_a_training_goes_on_without_a_lost_node_takes_a_new_one_and_ends_with_the_same_parameters(
    own_ray_lab: MakeLab, own_ray_cluster: RayCluster, training: Training, undisturbed: Undisturbed
) -> None:
    lab = own_ray_lab(POLICY)
    document = training("storm", STORM, "1..4") | {"resources": {"workers": "1..4", "gpus_per_worker": 1}}
    job = lab.submit(document)
    lab.until(lambda: members(lab, job) == 4)
    lab.advances(job, 50)
    own_ray_cluster.kill_node("n2")
    lab.until(lambda: members(lab, job) == 2)
    lab.advances(job, 50)
    added = own_ray_cluster.add_node(cpus=4, gpus=2)
    lab.until(lambda: nodes_of(lab, job) == {"n1": 2, added: 2})
    lab.finish()
    view = lab.job(job)
    assert (view.state, len(view.runs)) == ("succeeded", 1)
    assert lab.summary(job)["parameters_sha256"] == undisturbed(training("storm", STORM, "1"))
    own_ray_cluster.start_node("n2")


def test_a_head_that_dies_and_forgets_its_jobs_costs_a_run_and_no_result(
    own_ray_lab: MakeLab, own_ray_cluster: RayCluster, training: Training, undisturbed: Undisturbed
) -> None:
    lab = own_ray_lab(POLICY)
    document = training("brief", BRIEF, "2") | {"retry": {"application": 0, "backoff": "1s"}}
    job = lab.submit(document)
    lab.advances(job, 50)
    own_ray_cluster.kill_head()
    lab.until(lambda: bool(lab.silence()))
    assert lab.job(job).state == "running", "what does not answer is unknown, and no failure"
    own_ray_cluster.start_head()
    lab.finish()
    view = lab.job(job)
    assert (view.state, [run.failure_class for run in view.runs]) == ("succeeded", ["infrastructure", None])
    assert lab.summary(job)["parameters_sha256"] == undisturbed(training("brief", BRIEF, "1"))
