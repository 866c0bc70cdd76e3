"""Searches on a real Ray cluster: trials lie in the group of their run, on all of its nodes."""

from __future__ import annotations

import pytest
from search_kit import FoundHere, log, logs, results, sweep, trials
from training_kit import MakeLab

from orchestrator.testing.ray_cluster import RayCluster

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]


def test_a_search_on_two_nodes_of_a_ray_cluster_finds_the_same_as_on_this_machine(
    ray_lab: MakeLab, ray_cluster: RayCluster, found_here: FoundHere
) -> None:
    lab = ray_lab()
    job = lab.submit(sweep("ray"))
    lab.finish()
    assert lab.job(job).state == "succeeded", logs(lab, job)
    assert results(lab, job) == found_here(sweep("array"))
    assert "n1: 1, n2: 1" in log(lab, job, "ray-0")


def test_two_trials_share_a_gpu(ray_lab: MakeLab) -> None:
    lab = ray_lab()
    document = sweep("ray", trial={"cpus": 1, "gpus": 0.5})
    job = lab.submit(document | {"resources": {"workers": 1, "cpus_per_worker": 2, "gpus_per_worker": 1}})
    lab.until(lambda: [trial.state for trial in trials(lab, job)] == ["running"] * 2)
    lab.finish()
    assert lab.job(job).state == "succeeded", logs(lab, job)
