"""Runs on a real Ray cluster of two nodes: what is reserved and given back; they find what other engines find."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from search_kit import FoundHere, log, logs, results, sweep, trials
from training_kit import BRIEF, MakeLab, Training, Undisturbed

from orchestrator.backends.protocol import AllocationState, LaunchRequest
from orchestrator.base.paths import CACHE_VARIABLE
from orchestrator.base.process import processes_with_environment
from orchestrator.rundir.allocations import MARK
from orchestrator.rundir.events import find_event
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.launch import Launch, write_launch
from orchestrator.rundir.layout import JobDirectory
from orchestrator.rundir.membership import newest_view
from orchestrator.testing.faultproxy import FaultProxy
from orchestrator.testing.lab import Lab
from orchestrator.testing.ray_cluster import RayCluster

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]


POLICY = {
    "preset": "priority",
    "round": 1,
    "preemption": {"min_run": 1},
    "elastic": {"between": 1, "price": 0.1},
}


def used(cluster: RayCluster) -> dict[str, float]:
    """Resources of all nodes that something has, by Ray's own count."""
    report = cluster.get("/api/cluster_status")["data"]["clusterStatus"]["loadMetricsReport"]
    return {kind: report["usage"][kind][0] for kind in ("CPU", "GPU")}


def command(name: str, text: str, workers: int, **resources: Any) -> dict[str, Any]:
    """A gang that fails for good when it fails."""
    return {
        "name": name,
        "command": [sys.executable, "-c", text],
        "resources": {"workers": workers, **resources},
        "retry": {"application": 0, "infrastructure": 0},
    }


def members(lab: Lab, job: str) -> int:
    """How many workers share the work of its newest run."""
    runs = lab.job(job).runs
    view = newest_view(lab.run(job, runs[-1].number)) if runs else None
    return 0 if view is None else len(view.members)


def log_of_all(lab: Lab, job: str) -> str:
    return "\n".join(path.read_text() for path in sorted(lab.run(job).logs.glob("rank-*.log")))


def test_a_gang_lies_on_the_nodes_that_were_chosen_and_what_it_leaves_behind_is_given_back(
    ray_lab: MakeLab, ray_cluster: RayCluster
) -> None:
    lab = ray_lab()
    tell = "import os; print('rank', *(os.environ.get(n) for n in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE')), flush=True)"
    secret = "print('secrets', [n for n in os.environ if n.startswith('RAY_')])"
    job = lab.submit(command("gang", f"{tell}; {secret}", 3, gpus_per_worker=1))
    lab.finish()
    assert lab.job(job).state == "succeeded", logs(lab, job)
    told = sorted(line for line in log_of_all(lab, job).splitlines() if line.startswith("rank"))
    assert told == ["rank 0 0 3", "rank 1 1 3", "rank 2 0 3"]
    assert log_of_all(lab, job).count("secrets []") == 3
    ray_cluster.wait_for(lambda: not any(used(ray_cluster).values()))


def test_a_gang_that_does_not_get_all_of_its_places_gives_back_those_it_has(
    ray_lab: MakeLab, ray_cluster: RayCluster, tmp_path: Path
) -> None:
    backend = ray_lab(start_within=2.0).backend
    directory = JobDirectory.under(tmp_path / "runs", "j-torn").run("j-torn-r1")
    directory.job.create()
    raise_fence(directory.job, 1)
    launch = Launch("j-torn", "j-torn-r1", 1, ("true",), "/", workers=5, gpus_per_worker=1)
    directory.create()
    write_launch(directory, launch)
    asked = LaunchRequest("j-torn-r1.0", directory, launch, placement=(("n1", 2), ("n2", 3)))  # n2 has two GPUs
    backend.launch(asked)
    ray_cluster.wait_for(lambda: backend.observe([asked.allocation])[asked.allocation].state is AllocationState.ENDED)
    event = find_event(directory, "finished")
    assert event is not None
    assert event.data["failure_class"] == "infrastructure"
    assert "Ray had not all places within 2 s" in event.data["message"]
    groups = ray_cluster.get("/api/v0/placement_groups?detail=1")["data"]["result"]["result"]
    assert {group["state"] for group in groups if group["name"].startswith("j-torn")} == {"REMOVED"}


def test_our_queue_takes_slots_of_a_training_for_a_job_that_waits(
    ray_lab: MakeLab, training: Training, undisturbed: Undisturbed
) -> None:
    lab = ray_lab(policy=POLICY)
    document = training("brief", BRIEF, "1..2")
    job = lab.submit(document | {"resources": {"workers": "1..2", "gpus_per_worker": 2}})
    lab.until(lambda: members(lab, job) == 2)
    waiting = lab.submit(command("waiting", "pass", 1, gpus_per_worker=2))
    lab.until(lambda: members(lab, job) == 1)
    lab.until(lambda: lab.job(waiting).terminal)
    lab.finish()
    view = lab.job(job)
    assert (view.state, len(view.runs), lab.job(waiting).state) == ("succeeded", 1, "succeeded")
    assert lab.summary(job)["parameters_sha256"] == undisturbed(document)


def test_a_search_on_two_nodes_finds_the_same_as_on_this_machine_and_tells_ray_no_secret(
    ray_lab: MakeLab, ray_cluster: RayCluster, found_here: FoundHere
) -> None:
    lab, document = ray_lab(), sweep("ray")
    job = lab.submit(document | {"env": document["env"] | {"A_KEY": "hush-hush"}})
    lab.finish()
    assert lab.job(job).state == "succeeded", logs(lab, job)
    assert "hush-hush" not in str(ray_cluster.get("/api/jobs/"))
    assert "hush-hush" not in ray_cluster.written(), "Ray writes what it is told into its logs"
    assert results(lab, job) == found_here(sweep("array"))
    assert "n1: 1, n2: 1" in log(lab, job, "ray-0")
    assert not any(processes_with_environment(MARK, f"{job}-r1.0"))


@pytest.mark.full
def test_two_trials_share_a_gpu(ray_lab: MakeLab) -> None:
    lab = ray_lab()
    document = sweep("ray", trial={"cpus": 1, "gpus": 0.5})
    job = lab.submit(document | {"resources": {"workers": 1, "cpus_per_worker": 2, "gpus_per_worker": 1}})
    lab.until(lambda: [trial.state for trial in trials(lab, job)] == ["running"] * 2)
    lab.finish()
    assert lab.job(job).state == "succeeded", logs(lab, job)


def worker_of_ray_train(cluster: RayCluster) -> int:
    """A process of it on the cluster."""
    ours = processes_with_environment("ORCHESTRATOR_DEV_RAY", str(cluster.folder))
    return next(each.pid for each in ours if "RayTrainWorker" in "".join(psutil.Process(each.pid).cmdline()))


def test_ray_train_on_two_nodes_fetches_each_shard_once_loses_a_worker_and_ends_with_the_parameters_of_our_own_engine(
    ray_lab: MakeLab,
    ray_cluster: RayCluster,
    training: Training,
    undisturbed: Undisturbed,
    s3_bucket: str,
    s3_proxy: FaultProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    lab, url = ray_lab(), f"s3://{s3_bucket}/digits"
    for words in (("build", "digits"), ("publish", "digits", url)):
        program = Path(sys.executable).with_name("orchestrator")
        subprocess.run([program, "data", *words], check=True, capture_output=True)
    document = training("brief", BRIEF, "2")
    job = lab.submit(
        document
        | {
            "data": document["data"] | {"dataset": url},
            "elastic": {"engine": "ray_train"},
            "resources": {"workers": "1..2", "gpus_per_worker": 2},
        }
    )
    lab.until(lambda: lab.told(job, "checkpoint") or lab.job(job).terminal)
    os.kill(worker_of_ray_train(ray_cluster), signal.SIGKILL)
    lab.finish()
    assert lab.job(job).state == "succeeded", lab.job(job).reason
    assert [run.world_size for run in lab.job(job).runs] == [2]
    assert len(lab.told(job, "resized")) == 1, "it went on, with as many"
    fetched = Counter(seen.path for seen in s3_proxy.requests(r"\.arrow"))
    assert fetched, [seen.path for seen in s3_proxy.seen]
    assert set(fetched.values()) == {1}, "all nodes of this cluster share the cache of this machine"
    assert lab.summary(job)["parameters_sha256"] == undisturbed(document)
