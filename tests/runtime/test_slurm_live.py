"""Gangs on a real Slurm of several nodes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_slurm import write_note

from orchestrator.testing.dev_cluster import DevCluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(180)]

BODY = "import sys; from orchestrator.runtime.batch import main; main(*sys.argv[1:])"


def submit(bench: Any, argv: list[str], *options: str) -> str:
    """A gang of two ranks on each of two nodes; Slurm's number of its job."""
    bench.prepare(argv, workers=4, gpus_per_worker=1)
    write_note(bench.files, "", workers=2, gpus=1, joined=True)
    script = bench.root / "script"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -P -c "$@"\n')
    shape = ("--nodes=2", "--ntasks-per-node=1", "--gres=gpu:2", "--cpus-per-task=2", "--time=5", "--no-kill")
    command = ["sbatch", "--parsable", *shape, f"--output={bench.files.log}", *options, str(script), BODY]
    command += [str(bench.run.path), bench.files.allocation]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def state(job: str) -> str:
    return subprocess.run(["squeue", "-h", "-j", job, "-o", "%T"], capture_output=True, text=True).stdout.strip()


def test_the_ranks_of_a_torch_job_on_two_nodes_meet(bench: Any, slurm: DevCluster) -> None:
    script = Path(__file__).with_name("gloo_hello.py")
    submit(bench, [sys.executable, "-P", str(script)])
    bench.until(lambda: bench.events("finished"), seconds=120)
    assert bench.event("finished").data["outcome"] == "succeeded", bench.agent_logs()
    assert [bench.log(rank) for rank in range(4)] == [
        f"rank {rank} of 4, local {rank % 2} of 2, GPU {rank % 2}, sum 6.0\n" for rank in range(4)
    ]
    assert sorted(bench.event("started").data["nodes"].values()) == [2, 2]


def test_a_job_whose_batch_step_is_lost_with_its_node_does_not_hold_the_other_nodes(
    bench: Any, slurm: DevCluster
) -> None:
    job = submit(bench, ["/bin/sleep", "600"], "--nodelist=n1,n2")
    bench.until(lambda: all(len(bench.survivors(index)) >= 2 for index in range(2)), seconds=60)
    slurm.kill_node("n1")
    bench.until(lambda: bench.files.given_back(), seconds=60)
    assert bench.survivors(1) == []
    bench.until(lambda: state(job) in {"", "COMPLETING", "CANCELLED"}, seconds=60)
