"""Trainings on a real Ray cluster of several nodes, which are lost and come back, and whose head is."""

from __future__ import annotations

from typing import Any

import pytest
from search_kit import FoundHere, results, sweep, trials
from training_kit import STORM, MakeLab, Training, Undisturbed

from orchestrator.testing.lab import Lab
from orchestrator.testing.ray_cluster import RayCluster

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]

POLICY = {"preset": "default", "elastic": {"between": 1, "price": 0.1}}


def data_of(lab: Lab, job: str, kind: str) -> list[dict[str, Any]]:
    """What the events of one kind carry."""
    return [event.data for event in lab.service.events(job, limit=10_000) if event.kind == kind]


def begun_on(lab: Lab, job: str) -> set[str]:
    """The nodes of the agents that have begun."""
    return {told["node"] for told in data_of(lab, job, "agent_started")}


def nodes_of(lab: Lab, job: str) -> dict[str, int]:
    """Workers of each node, by the run's own word, once their number has changed."""
    told = data_of(lab, job, "resized")
    return dict(told[-1]["nodes"]) if told else {}


def losses(lab: Lab, job: str) -> int:
    """How often workers have died."""
    return [told["cause"] for told in data_of(lab, job, "resized")].count("lost")


def test_a_training_outlives_a_lost_node_takes_a_new_one_leaves_a_drained_one_and_ends_with_the_same_parameters(
    ray_lab: MakeLab, ray_cluster: RayCluster, training: Training, undisturbed: Undisturbed
) -> None:
    lab = ray_lab(POLICY)
    job = lab.submit(training("storm", STORM, "1..2") | {"resources": {"workers": "1..2", "gpus_per_worker": 2}})
    lab.until(lambda: begun_on(lab, job) == {"n1", "n2"})
    lab.advances(job, 50)
    ray_cluster.kill_node("n2")
    lab.until(lambda: nodes_of(lab, job) == {"n1": 1})
    lab.advances(job, 50)
    added = ray_cluster.add_node(cpus=4, gpus=2)
    lab.until(lambda: nodes_of(lab, job) == {"n1": 1, added: 1})
    lab.advances(job, 50)
    assert losses(lab, job) == 1
    ray_cluster.remove_node(added)
    lab.until(lambda: nodes_of(lab, job) == {"n1": 1})
    assert [set(told["until"]) for told in data_of(lab, job, "draining")] == [{added}]
    lab.finish()
    view = lab.job(job)
    assert (view.state, len(view.runs), losses(lab, job)) == ("succeeded", 1, 1), "who leaves in time is not lost"
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
    lab.advances(job, 1)
    document = sweep("ray")
    search = lab.submit(document | {"resources": document["resources"] | {"workers": 1}})
    lab.until(lambda: [trial.state for trial in trials(lab, search)] == ["succeeded", "running"])
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
