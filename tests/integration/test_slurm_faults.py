"""Trainings on a real Slurm whose nodes are drained, preempted and lost, and whose time is over."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from slurm_kit import SLURM, members, nodes_of, whole_nodes
from training_kit import BRIEF, STORM, MakeLab, Training, Undisturbed

from orchestrator.testing.dev_cluster import DevCluster
from orchestrator.testing.lab import Lab

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.timeout(900)]

SPARE = {**SLURM, "partition": "spare"}
LONG = 40_000
"""Steps of a training that no test sees the end of."""


def drain(slurm: DevCluster, node: str, reason: str = "a loud fan") -> None:
    slurm.run("scontrol", "update", f"NodeName={node}", "State=DRAIN", f"Reason={reason}")


def take(slurm: DevCluster, *nodes: str) -> str:
    """A job of somebody else's, which Slurm prefers, on all of these very nodes."""
    where = (f"--nodelist={','.join(nodes)}", f"--nodes={len(nodes)}")
    return slurm.submit("sleep 600", "--partition=batch", "--exclusive", *where)


def number_of(slurm: DevCluster, job: str) -> str:
    """Slurm's number of what a job's first run began with."""
    return slurm.run("squeue", "--noheader", "--format=%i", f"--name={job}-r1.0").strip()


def lend(slurm: DevCluster, lab: Lab, job: str, node: str) -> None:
    """Somebody else has a node for a moment, then the run has two again."""
    other = take(slurm, node)
    lab.until(lambda: node not in nodes_of(lab, job).values())
    lab.until(lambda: slurm.jobs().get(other) == "RUNNING")
    slurm.run("scancel", other)
    lab.until(lambda: members(lab, job) == 2)


def test_a_node_that_is_drained_becomes_free_where_its_run_has_enough_workers_elsewhere(
    slurm_lab: MakeLab, slurm: DevCluster, training: Training
) -> None:
    lab = slurm_lab(SLURM)
    job = lab.submit(whole_nodes(training("long", LONG, "1"), "1..3"))
    lab.until(lambda: members(lab, job) == 3)
    first, grown, stays = (node for _, node in sorted(nodes_of(lab, job).items()))

    drain(slurm, grown)
    lab.until(lambda: slurm.states()[grown] == "drained")
    drain(slurm, first)  # of the allocation that the run began with: its coordinator
    lab.until(lambda: slurm.states()[first] == "drained")
    lab.until(lambda: list(nodes_of(lab, job).values()) == [stays])
    drain(slurm, stays)  # the only one that is left
    lab.advances(job, 50)
    assert slurm.states()[stays] == "draining"
    assert (lab.job(job).state, len(lab.job(job).runs), lab.told(job, "worker_lost")) == ("running", 1, [])
    lab.service.cancel(job)
    lab.finish()


def test_a_run_that_is_preempted_saves_its_state_in_time_and_goes_on_as_another_to_the_same_result(
    slurm_lab: MakeLab, slurm: DevCluster, training: Training, undisturbed: Undisturbed
) -> None:
    lab = slurm_lab(SPARE)
    document = whole_nodes(training("brief", BRIEF, "1"), 1) | {"retry": {"application": 0, "backoff": "1s"}}
    job = lab.submit(document)
    lab.advances(job, 50)

    other = take(slurm, *slurm.nodes)
    lab.until(lambda: lab.job(job).runs[0].ended_at is not None)
    slurm.wait_for(lambda: slurm.jobs().get(other) == "RUNNING")
    slurm.run("scancel", other)
    lab.finish()

    view = lab.job(job)
    assert [run.failure_class for run in view.runs] == ["preempted", None]
    assert (view.state, view.failures) == ("succeeded", {"preempted": 1})
    assert lab.told(job, "worker_lost") == []
    assert lab.summary(job)["parameters_sha256"] == undisturbed(document)


def test_what_slurm_takes_of_a_run_leaves_in_good_order_whatever_it_began_with_and_comes_back_when_that_is_free(
    slurm_lab: MakeLab, slurm: DevCluster, training: Training
) -> None:
    lab = slurm_lab(SPARE)
    drain(slurm, "n3")
    job = lab.submit(whole_nodes(training("long", LONG, "1"), "1..2"))
    lab.until(lambda: members(lab, job) == 2)
    first, grown = (node for _, node in sorted(nodes_of(lab, job).items()))
    assert "n3" not in {first, grown}

    lend(slurm, lab, job, grown)
    lend(slurm, lab, job, first)
    assert (lab.job(job).state, len(lab.job(job).runs), lab.told(job, "worker_lost")) == ("running", 1, [])
    lab.service.cancel(job)
    lab.finish()


def test_a_time_limit_of_the_user_is_kept_by_the_run_itself_which_saves_its_state_and_slurms_lies_behind_it(
    slurm_lab: MakeLab, slurm: DevCluster, training: Training
) -> None:
    lab = slurm_lab(SLURM)
    document = whole_nodes(training("limit", LONG, "1"), 1) | {"retry": {"application": 0, "time_limit": 0}}
    for limit in (25, 100):  # on a busy machine a run takes longer to begin
        job = lab.submit({**document, "time_limit": f"{limit}s"})
        lab.until(lambda: bool(slurm.jobs()))
        shown = slurm.run("squeue", "--noheader", "--format=%l").strip()
        lab.finish()
        if saved := [event for event in lab.service.events(job, limit=1000) if event.kind == "checkpoint"]:
            break

    view = lab.job(job)
    (run,) = view.runs
    assert shown == f"{math.ceil((limit + 90) / 60)}:00"
    assert (view.state, run.state, run.failure_class) == ("failed", "stopped", "time_limit")
    assert run.message == f"stopped after {saved[-1].data['samples']:,} samples, with a checkpoint"


@pytest.mark.parametrize("workers", ["2..3", pytest.param("2", marks=pytest.mark.full)])
def test_the_loss_of_the_first_node_of_several_changes_no_result(
    slurm_lab: MakeLab, slurm: DevCluster, training: Training, undisturbed: Undisturbed, workers: str
) -> None:
    """An elastic run goes on without it; one of a fixed width ends at once, and another goes on."""
    lab = slurm_lab(SLURM)
    grows = workers == "2..3"
    steady = training("storm", STORM, "1") if grows else training("brief", BRIEF, "1")
    document = whole_nodes(steady, workers) | {"retry": {"application": 0, "backoff": "1s"}}
    job = lab.submit(document)
    lab.until(lambda: members(lab, job) == int(workers[-1]))
    lab.advances(job, 50)

    first = nodes_of(lab, job)[0]  # it runs the batch step, and coordinates
    if grows:  # which Slurm notices in its own time
        slurm.kill_node(first)
    else:  # else the next run might begin on it
        slurm.kill_node_noticed(first)
    lab.finish()

    view = lab.job(job)
    failures = [run.failure_class for run in view.runs]
    assert failures == ([None] if grows else ["infrastructure", None])
    assert view.state == "succeeded"
    assert lab.summary(job)["parameters_sha256"] == undisturbed(document)
    slurm.wait_for(lambda: not slurm.jobs())


def test_a_job_that_slurmctld_forgets_and_whose_number_another_gets_is_run_once(
    slurm_lab: MakeLab, slurm: DevCluster, tmp_path: Path
) -> None:
    lab = slurm_lab(SLURM)
    others = [take(slurm, node) for node in slurm.nodes]  # so that it has to wait
    for name in ("first", "second", "third"):
        slurm.await_saved()
        job = lab.submit({"name": name, "command": f"echo x >> {tmp_path}/{name}", "resources": {"workers": 1}})
        lab.until(lambda job=job: [run.state for run in lab.job(job).runs] == ["launched"])
        number = number_of(slurm, job)
        slurm.restart_controller()
        if number not in slurm.jobs():  # else it was written down just then
            break
    strangers = [slurm.submit("sleep 600", "--partition=batch")]
    while strangers[-1] != number:
        assert int(strangers[-1]) < int(number)
        strangers.append(slurm.submit("sleep 600", "--partition=batch"))
    slurm.run("scancel", *others)
    lab.finish()
    assert lab.job(job).state == "succeeded"
    assert (tmp_path / name).read_text() == "x\n"
    assert slurm.jobs().get(number) == "RUNNING", "nobody has cancelled the stranger"
