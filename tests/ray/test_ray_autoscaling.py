"""A Ray whose own autoscaler brings its nodes: a gang that waits has them brought, and nothing is left in the end."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.base.process import processes_with_environment
from orchestrator.testing.lab import Lab
from orchestrator.testing.ray_cluster import RayCluster

pytestmark = pytest.mark.ray


@pytest.fixture
def keeper() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that lasts."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_a_gang_that_waits_brings_its_nodes_and_all_of_it_goes_with_the_process_that_it_is_for(
    tmp_path: Path, keeper: "subprocess.Popen[bytes]"
) -> None:
    folder = tmp_path / "a-folder-whose-path-is-too-long-for-the-sockets-that-ray-makes-in-its-temporary-folder" / "c"
    cluster = RayCluster(folder)
    cluster.dev_cluster("up", "--nodes", "0", "--most-nodes", "2", "--while", str(keeper.pid))
    assert cluster.nodes == ()
    kind = {"name": "node", "count": 2, "cpus": 4, "gpus": 2, "gpu_type": "h200"}
    reached = {"address": cluster.address, "token_file": str(cluster.token_file)}
    lab = Lab.on_ray(tmp_path / "lab", {**reached, "autoscaler": [kind]})
    gang = {"name": "gang", "command": "echo here", "resources": {"workers": 4, "gpus_per_worker": 1}}
    job = lab.submit(gang)
    lab.finish()
    assert lab.job(job).state == "succeeded", lab.job(job).reason
    assert cluster.nodes == ("n1", "n2")
    lab.close()

    (line,) = (line for line in cluster.dev_cluster("status").splitlines() if line.startswith("Ray's own: "))
    scratch = Path(line.removeprefix("Ray's own: ")).parents[2]
    assert scratch.is_dir()
    keeper.kill()
    cluster.wait_for(lambda: not folder.exists())
    assert not scratch.exists()
    assert processes_with_environment("ORCHESTRATOR_DEV_RAY", str(folder)) == []
