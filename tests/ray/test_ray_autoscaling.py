"""Ray's own autoscaler on the development cluster: what is asked for comes, and is of the type that was declared."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.testing.ray_cluster import RayCluster

pytestmark = pytest.mark.ray


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[RayCluster]:
    """A Ray without nodes whose autoscaler may bring two."""
    cluster = RayCluster(tmp_path / "c")
    cluster.up(nodes=0, most_nodes=2)
    yield cluster
    cluster.down()


def test_what_is_asked_for_brings_a_node(growing: RayCluster) -> None:
    assert growing.nodes == ()
    growing.ask_for({"GPU": 2})
    growing.wait_for(lambda: growing.nodes == ("n1",))
    (node,) = growing.seen()
    assert node["resources_total"]["GPU"] == 2
    assert node["labels"]["ray.io/accelerator-type"] == "H200"
