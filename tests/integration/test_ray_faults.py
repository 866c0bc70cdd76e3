"""Trainings on a real Ray cluster of several nodes, which are lost and come back, and whose head is."""

from __future__ import annotations

import pytest
from search_kit import FoundHere, results, sweep, trials
from training_kit import STORM, MakeLab, Training, Undisturbed

from orchestrator.testing.lab import Lab
from orchestrator.testing.ray_cluster import RayCluster

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]

POLICY = {"preset": "default", "elastic": {"between": 1, "price": 0.1}}


def nodes_of(lab: Lab, job: str) -> dict[str, int]:
    """Workers of each node that the newest run has, by its own word."""
    told = [event for event in lab.service.events(job, limit=10_000) if event.kind == "resized"]
    return dict(told[-1].data["nodes"]) if told else {}


def lost(lab: Lab, job: str) -> int:
    """How many workers have died."""
    return len(lab.told(job, "worker_lost"))


def test_a_training_outlives_a_lost_node_takes_a_new_one_leaves_a_drained_one_and_ends_with_the_same_parameters(
    ray_lab: MakeLab, ray_cluster: RayCluster, training: Training, undisturbed: Undisturbed
) -> None:
    lab = ray_lab(POLICY)
    job = lab.submit(training("storm", STORM, "1..2") | {"resources": {"workers": "1..2", "gpus_per_worker": 2}})
    lab.until(lambda: nodes_of(lab, job) == {"n1": 1, "n2": 1})
    lab.advances(job, 50)
    ray_cluster.kill_node("n2")
    lab.until(lambda: nodes_of(lab, job) == {"n1": 1})
    lab.advances(job, 50)
    added = ray_cluster.add_node(cpus=4, gpus=2)
    lab.until(lambda: nodes_of(lab, job) == {"n1": 1, added: 1})
    lab.advances(job, 50)
    assert lost(lab, job) == 1
    ray_cluster.remove_node(added)
    lab.until(lambda: nodes_of(lab, job) == {"n1": 1})
    lab.finish()
    view = lab.job(job)
    assert (view.state, len(view.runs), lost(lab, job)) == ("succeeded", 1, 1), "who leaves in time is not lost"
    assert lab.summary(job)["parameters_sha256"] == undisturbed(training("storm", STORM, "1"))


def test_a_head_that_dies_and_forgets_its_jobs_costs_them_a_run_and_no_result_and_no_trial_runs_again(
    ray_lab: MakeLab,
    ray_cluster: RayCluster,
    training: Training,
    undisturbed: Undisturbed,
    found_here: FoundHere,
) -> None:
    lab = ray_lab(POLICY)
    job = lab.submit(training("storm", STORM, "1") | {"retry": {"application": 0, "backoff": "1s"}})
    one_by_one = {"workers": 1, "cpus_per_worker": 1, "memory_per_worker": "2GiB"}
    search = lab.submit(sweep("ray") | {"resources": one_by_one})
    lab.until(lambda: [trial.state for trial in trials(lab, search)] == ["succeeded", "running"])
    lab.advances(job, 1)
    (finished, _) = trials(lab, search)
    ray_cluster.kill_head()
    lab.until(lambda: bool(lab.silence()))
    assert {lab.job(each).state for each in (search, job)} == {"running"}, "silence is unknown, and no failure"
    ray_cluster.start_head()
    lab.finish()
    for view in (lab.job(search), lab.job(job)):
        assert (view.state, [run.failure_class for run in view.runs]) == ("succeeded", ["infrastructure", None])
    assert lab.summary(job)["parameters_sha256"] == undisturbed(training("storm", STORM, "1"))
    assert results(lab, search) == found_here(sweep("array"))
    assert trials(lab, search)[0] == finished
