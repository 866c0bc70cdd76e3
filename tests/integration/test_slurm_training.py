"""Trainings on a real Slurm: nodes are lost, taken back and fenced off, limits are reached, daemons are away."""

from __future__ import annotations

import pytest
from slurm_kit import SLURM, members, nodes_of, whole_nodes
from training_kit import BRIEF, STORM, MakeLab, Training, Undisturbed

from orchestrator.base.process import processes_with_environment
from orchestrator.rundir.allocations import MARK
from orchestrator.testing.dev_cluster import DevCluster

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.timeout(900)]


def test_the_node_that_a_run_began_with_is_lost_and_those_that_joined_it_go_on_to_the_same_result(
    slurm_lab: MakeLab, slurm: DevCluster, training: Training, undisturbed: Undisturbed
) -> None:
    lab = slurm_lab(SLURM)
    document = whole_nodes(training("storm", STORM, "1"), "1..3")
    job = lab.submit(document)
    lab.until(lambda: members(lab, job) == 3)
    lab.advances(job, 50)
    nodes = nodes_of(lab, job)
    assert sorted(nodes.values()) == sorted(slurm.nodes)

    slurm.kill_node_noticed(nodes[0])  # of the allocation that the run began with: its coordinator
    lab.until(lambda: 0 not in lab.view(job).numbers)
    lab.finish()

    view = lab.job(job)
    assert (view.state, len(view.runs)) == ("succeeded", 1)
    assert lab.summary(job)["parameters_sha256"] == undisturbed(document)


def test_ranks_that_outlive_their_slurmd_are_fenced_off_by_the_next_run(
    slurm_lab: MakeLab, slurm: DevCluster, training: Training, undisturbed: Undisturbed
) -> None:
    lab = slurm_lab(SLURM)
    document = whole_nodes(training("brief", BRIEF, "1"), 1) | {"retry": {"application": 0, "backoff": "1s"}}
    job = lab.submit(document)
    lab.advances(job, 50)
    (first,) = lab.job(job).runs
    (node,) = lab.backend.observe([f"{first.id}.0"])[f"{first.id}.0"].nodes

    slurm.kill_slurmd(node)
    slurm.run(
        "scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost"
    )  # as slurmctld does by itself, later
    assert any(processes_with_environment(MARK, f"{first.id}.0"))
    lab.until(lambda: len(lab.job(job).runs) == 2)
    lab.until(lambda: not processes_with_environment(MARK, f"{first.id}.0"))
    lab.finish()

    view = lab.job(job)
    assert (view.state, [run.failure_class for run in view.runs]) == ("succeeded", ["infrastructure", None])
    assert lab.summary(job)["parameters_sha256"] == undisturbed(document)


def test_a_run_outlives_slurms_daemons_and_goes_on_as_another_before_its_time_limit(
    slurm_lab: MakeLab, slurm: DevCluster, training: Training
) -> None:
    lab = slurm_lab(SLURM)
    slurm.run("scontrol", "update", "PartitionName=batch", "MaxTime=1")
    try:
        document = whole_nodes(training("limit", 8_000, "1"), 1) | {"retry": {"application": 0, "backoff": "1s"}}
        job = lab.submit(document)
        lab.advances(job, 100)
        slurm.await_saved()
        slurm.restart_controller()
        slurm.stop_accounting()
        lab.until(lambda: lab.job(job).state == "running" and len(lab.job(job).runs) == 2)
    finally:
        slurm.run("scontrol", "update", "PartitionName=batch", "MaxTime=7-00:00:00")
    slurm.start_accounting()
    first, second = lab.job(job).runs
    assert (first.state, first.failure_class) == ("stopped", "preempted")
    lab.service.cancel(job)
    lab.finish()
    assert lab.job(job).runs[-1].id == second.id
