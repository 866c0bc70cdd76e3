"""A Ray whose own autoscaler brings its nodes: what is asked for comes, and nothing is left when it is over."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.base.process import processes_with_environment
from orchestrator.testing.ray_cluster import RayCluster

pytestmark = pytest.mark.ray


@pytest.fixture
def keeper() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that lasts."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_what_is_asked_for_comes_and_all_of_it_goes_with_the_process_that_it_is_for(
    tmp_path: Path, keeper: "subprocess.Popen[bytes]"
) -> None:
    folder = tmp_path / "a-folder-whose-path-is-too-long-for-the-sockets-that-ray-makes-in-its-temporary-folder" / "c"
    cluster = RayCluster(folder)
    cluster.dev_cluster("up", "--nodes", "0", "--most-nodes", "2", "--while", str(keeper.pid))
    assert cluster.nodes == ()
    cluster.ask_for({"GPU": 2})
    cluster.wait_for(lambda: cluster.nodes == ("n1",))
    (node,) = cluster.seen()
    assert node["resources_total"]["GPU"] == 2
    assert node["labels"]["ray.io/accelerator-type"] == "H200"

    (line,) = (line for line in cluster.dev_cluster("status").splitlines() if line.startswith("Ray's own: "))
    scratch = Path(line.removeprefix("Ray's own: ")).parents[2]
    assert scratch.is_dir()
    keeper.kill()
    cluster.wait_for(lambda: not folder.exists())
    assert not scratch.exists()
    assert processes_with_environment("ORCHESTRATOR_DEV_RAY", str(folder)) == []
