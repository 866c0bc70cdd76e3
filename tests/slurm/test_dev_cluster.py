"""The development cluster: a real Slurm that comes up, breaks as a real one breaks, and leaves nothing behind."""

import re
import signal
import subprocess
from pathlib import Path

import pytest

from orchestrator.base.process import ProcessIdentity, processes_with_environment
from orchestrator.testing.dev_cluster import DevCluster, DevClusterError

pytestmark = pytest.mark.slurm


def of_jobs(cluster: DevCluster, node: str | None = None) -> list[ProcessIdentity]:
    """What jobs have started, on one node or on all."""
    on_node = [("SLURMD_NODENAME", node)] if node else []
    return processes_with_environment("SLURM_CONF", str(cluster.conf), ("SLURM_CLUSTER_NAME", "dev"), *on_node)


def lasting(cluster: DevCluster, *options: str) -> str:
    """A job that runs on two nodes for a while, with a process in a session of its own; its id."""
    at_work = cluster.folder / "at-work"
    task = f"sleep 0.5; touch {at_work}-$SLURM_JOB_ID-$SLURMD_NODENAME; exec sleep 200"
    job = cluster.submit(f"srun bash -c '{task}' & setsid sleep 200 & wait", "--nodes=2", *options)
    cluster.wait_for(lambda: all(Path(f"{at_work}-{job}-{node}").exists() for node in ("n1", "n2")))
    return job


def state_in_accounting(cluster: DevCluster, job: str) -> str:
    return cluster.run("sacct", "-X", "-n", "-P", "-o", "State", "-j", job).strip()


def test_every_node_gives_the_gpus_that_it_declares(slurm: DevCluster) -> None:
    printed = slurm.run(
        "srun", "--nodes=3", "--gpus-per-node=2", "bash", "-c", "echo $SLURMD_NODENAME $CUDA_VISIBLE_DEVICES"
    )
    assert sorted(printed.splitlines()) == ["n1 0,1", "n2 0,1", "n3 0,1"]


def kill_controller(cluster: DevCluster) -> None:
    role = ("ORCHESTRATOR_DEV_SLURM_ROLE", "slurmctld")
    for process in processes_with_environment("ORCHESTRATOR_DEV_SLURM", str(cluster.folder), role):
        process.send(signal.SIGKILL)


def test_the_status_names_what_does_not_run(slurm: DevCluster) -> None:
    assert re.search(r"^slurmd-n2 +\d+$", slurm.dev_cluster("status"), re.MULTILINE)
    slurm.kill_slurmd("n2")
    with pytest.raises(DevClusterError, match=r"(?m)^slurmd-n2 +does not run$"):
        slurm.dev_cluster("status")


def test_a_lost_node_takes_its_steps_along_and_is_noticed(slurm: DevCluster) -> None:
    job = lasting(slurm, "--no-requeue")
    slurm.kill_node("n1")
    assert of_jobs(slurm, "n1") == []
    assert of_jobs(slurm, "n2") != []
    slurm.wait_for(lambda: slurm.states()["n1"] == "down*")
    slurm.wait_for(lambda: state_in_accounting(slurm, job) == "NODE_FAIL")
    slurm.start_node("n1")
    slurm.wait_for(lambda: slurm.states()["n1"] == "idle")


def test_the_controller_can_be_told_of_a_lost_node_at_once(slurm: DevCluster) -> None:
    job = lasting(slurm, "--no-requeue")
    slurm.kill_node_noticed("n2")
    slurm.wait_for(lambda: state_in_accounting(slurm, job) == "NODE_FAIL")


def test_steps_live_on_without_their_slurmd(slurm: DevCluster) -> None:
    job = lasting(slurm)
    slurm.kill_slurmd("n2")
    (step,) = of_jobs(slurm, "n2")
    slurm.start_node("n2")
    assert step.alive()
    assert slurm.jobs() == {job: "RUNNING"}


def test_jobs_outlive_the_controller(slurm: DevCluster) -> None:
    job = lasting(slurm)
    held = slurm.submit("true", "--hold")
    slurm.await_saved()
    slurm.restart_controller()
    assert slurm.jobs() == {job: "RUNNING", held: "PENDING"}


def test_without_accounting_jobs_run_and_are_written_down_later(slurm: DevCluster) -> None:
    slurm.stop_accounting()
    job = slurm.submit("true")
    slurm.wait_for(lambda: job not in slurm.jobs())
    with pytest.raises(DevClusterError, match=r"Connection refused|Unable to contact"):
        state_in_accounting(slurm, job)
    slurm.start_accounting()
    slurm.wait_for(lambda: state_in_accounting(slurm, job) == "COMPLETED")


def test_a_controller_that_died_by_itself_is_brought_back_once_with_a_warning(slurm: DevCluster) -> None:
    same = DevCluster(slurm.folder)
    kill_controller(same)
    with pytest.warns(UserWarning, match="slurmctld had ended by itself; its last words: .*"):
        assert same.jobs() == {}
    kill_controller(same)
    with pytest.raises(DevClusterError, match=r"Unable to contact|Transport endpoint"):
        same.jobs()


def test_nothing_is_left_when_the_process_ends_that_it_is_for(slurm_cluster: DevCluster, tmp_path: Path) -> None:
    other = DevCluster(tmp_path / "c")
    with subprocess.Popen(["sleep", "200"]) as keeper:
        other.dev_cluster("up", "--nodes", "2", "--gpus", "0", "--while", str(keeper.pid))
        other.dev_cluster("up")
        lasting(other)
        runtime = Path(re.search(r"AuthInfo=socket=([^,]+)", other.conf.read_text())[1]).parents[1]  # type: ignore[index]
        assert runtime.exists()
        keeper.kill()
    slurm_cluster.wait_for(lambda: not other.folder.exists())
    assert not runtime.exists()
    assert processes_with_environment("ORCHESTRATOR_DEV_SLURM", str(other.folder)) == []
    assert of_jobs(other) == []
    assert slurm_cluster.states() == dict.fromkeys(slurm_cluster.nodes, "idle")


def test_what_does_not_come_up_is_taken_down_with_the_end_of_its_log(slurm_cluster: DevCluster, tmp_path: Path) -> None:
    broken = tmp_path / "bin" / "slurmd"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho no such luck\nexit 7\n")
    broken.chmod(0o755)
    other = DevCluster(tmp_path / "c")
    other.environment["PATH"] = f"{broken.parent}:{other.environment['PATH']}"
    with pytest.raises(DevClusterError, match=r"(?s)no such luck.*slurmd-n1 ended with 7"):
        other.dev_cluster("up", "--nodes", "1")
    assert not other.folder.exists()
    assert processes_with_environment("ORCHESTRATOR_DEV_SLURM", str(other.folder)) == []


def test_a_folder_of_other_things_is_left_alone(slurm_cluster: DevCluster, tmp_path: Path) -> None:
    (tmp_path / "thesis").touch()
    with pytest.raises(DevClusterError, match="holds other things"):
        DevCluster(tmp_path).dev_cluster("up")
    DevCluster(tmp_path).down()
    assert (tmp_path / "thesis").exists()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["up", "--nodes", "4"], "has another nodes"),
        (["kill-node", "n9"], "there are n1 n2 n3"),
    ],
)
def test_what_cannot_be_done_is_said(slurm_cluster: DevCluster, arguments: list[str], what: str) -> None:
    with pytest.raises(DevClusterError, match=what):
        slurm_cluster.dev_cluster(*arguments)
