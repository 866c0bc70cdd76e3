"""The development cluster: a real Ray that comes up, breaks as a real one breaks, and leaves nothing behind."""

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from orchestrator.base.process import ProcessIdentity, processes_with_environment
from orchestrator.testing.ray_cluster import RayCluster, RayClusterError

pytestmark = pytest.mark.ray
MARK = "ORCHESTRATOR_DEV_RAY"


def running(cluster: RayCluster, machine: str | None = None) -> list[ProcessIdentity]:
    """What runs of a cluster, on one machine or on all."""
    on_machine = [("ORCHESTRATOR_DEV_RAY_ROLE", machine)] if machine else []
    return processes_with_environment(MARK, str(cluster.folder), *on_machine)


def test_it_is_what_it_says(ray_cluster: RayCluster) -> None:
    cluster = ray_cluster
    assert cluster.nodes == ("n1", "n2")
    for node in cluster.seen():
        assert (node["resources_total"]["CPU"], node["resources_total"]["GPU"]) == (4, 2)
        assert node["labels"]["ray.io/accelerator-type"] == "H200"
        assert node["labels"]["rack"] == "r1"
    assert [line.split()[:2] for line in cluster.dev_cluster("status").splitlines()[:3]] == [
        ["head", "ALIVE"],
        ["n1", "ALIVE"],
        ["n2", "ALIVE"],
    ]
    assert cluster.token_file.stat().st_mode & 0o777 == 0o600
    assert cluster.variables["RAY_AUTH_TOKEN_PATH"] == str(cluster.token_file)


@pytest.mark.parametrize("headers", [{}, {"Authorization": f"Bearer {'0' * 64}"}])
def test_nobody_is_answered_without_the_token(ray_cluster: RayCluster, headers: dict[str, str]) -> None:
    request = urllib.request.Request(f"{ray_cluster.address}/api/version", headers=headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code in (401, 403)
    assert ray_cluster.get("/api/version")["ray_version"]


def test_a_lost_node_is_noticed_and_comes_back(ray_cluster: RayCluster) -> None:
    cluster = ray_cluster
    cluster.kill_node("n1")
    assert cluster.nodes == ("n2",)
    assert running(cluster, "n1") == []
    with pytest.raises(RayClusterError, match=r"(?m)^n1 +does not run"):
        cluster.dev_cluster("status")
    cluster.start_node("n1")
    assert cluster.nodes == ("n1", "n2")


def test_nodes_are_added_and_removed_in_good_order(ray_cluster: RayCluster) -> None:
    cluster = ray_cluster
    name = cluster.add_node(cpus=1, gpus=0)
    (added,) = (node for node in cluster.seen() if node["node_name"] == name)
    assert (added["resources_total"]["CPU"], added["labels"]["rack"]) == (1, "r2")
    cluster.remove_node(name)
    assert cluster.nodes == ("n1", "n2")
    assert [node["state_message"] for node in cluster.seen() if node["node_name"] == name] != [None]
    with pytest.raises(RayClusterError, match="there are n1 n2"):
        cluster.start_node(name)


def test_nodes_come_back_to_a_new_head(ray_cluster: RayCluster) -> None:
    cluster = ray_cluster
    address, before = cluster.address, {node["node_id"] for node in cluster.seen()}
    cluster.kill_head()
    with pytest.raises(OSError, match="refused"):
        cluster.get("/api/version")
    with pytest.raises(RayClusterError, match="start-head"):
        cluster.add_node()
    cluster.start_head()
    assert RayCluster(cluster.folder).address == address
    assert cluster.nodes == ("n1", "n2")
    assert not before & {node["node_id"] for node in cluster.seen()}


def test_up_repairs_and_another_size_is_refused(ray_cluster: RayCluster) -> None:
    ray_cluster.kill_node("n2", noticed=False)
    ray_cluster.dev_cluster("up")
    assert ray_cluster.nodes == ("n1", "n2")
    with pytest.raises(RayClusterError, match="has another nodes"):
        ray_cluster.dev_cluster("up", "--nodes", "4")


def test_what_does_not_come_up_is_taken_down_with_the_end_of_its_log(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such luck\nexit 7\n")
    broken.chmod(0o755)
    cluster = RayCluster(tmp_path / "c")
    with pytest.raises(RayClusterError, match=r"(?s)the end of .*head\.out:.*no such luck.*head ended with 7"):
        cluster.dev_cluster("up", "--nodes", "0", "--python", str(broken))
    assert not cluster.folder.exists()
    assert running(cluster) == []


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").touch()
    with pytest.raises(RayClusterError, match="holds other things"):
        RayCluster(tmp_path).dev_cluster("up")
    RayCluster(tmp_path).down()
    assert (tmp_path / "thesis").exists()
