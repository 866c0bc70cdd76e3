"""What operators may say of nodes that the profile does not name."""

from pathlib import Path

import pytest

from orchestrator.base.errors import NotFound
from orchestrator.testing.world import World


def test_where_the_engine_names_the_nodes_those_alone_can_be_drained(tmp_path: Path) -> None:
    world = World(tmp_path, slots={"n1": 2, "n2": 2}, profile={"backend": "ray", "nodes": [{}]})
    world.service.drain("n2", "a loud fan", "ann")
    with pytest.raises(NotFound, match="has no node 'localhost'") as refusal:
        world.service.drain("localhost", "", "ann")
    assert refusal.value.hint == "its nodes: n1, n2"
