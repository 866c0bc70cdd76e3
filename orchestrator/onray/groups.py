"""Placement groups: what a run reserves of a Ray cluster, on the very nodes that our scheduler chose."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.rundir.launch import Launch
from orchestrator.rundir.rayjob import names_of

NODE_LABEL = "ray.io/node-id"


@dataclass(frozen=True)
class Bundle:
    """Room on one node.

    Attributes:
        node: its name.
        workers: that find room.
    """

    node: str
    workers: int


class Group:
    """A placement group that was asked for. All of it is there, or nothing is.

    Args:
        handle: Ray's.
        bundles: of it, in order.
    """

    def __init__(self, handle: Any, bundles: Sequence[Bundle]) -> None:
        self.handle = handle
        self.bundles = tuple(bundles)
        self.asked_at = time.monotonic()

    def is_there(self, seconds: float = 0.0) -> bool:
        """Whether Ray has reserved all of it, within so many seconds."""
        return bool(self.handle.wait(seconds))

    def remove(self) -> None:
        """Give it back; whatever runs in it is killed."""
        from ray.util.placement_group import remove_placement_group

        remove_placement_group(self.handle)


def resources_of(launch: Launch, memory: int) -> dict[str, float]:
    """What each worker reserves.

    Args:
        launch: of the run.
        memory: bytes of each worker; 0: nobody said.
    """
    asked = {"CPU": launch.cpus_per_worker, "GPU": launch.gpus_per_worker, "memory": memory}
    return {name: float(count) for name, count in asked.items() if count > 0}


def ask_for(bundles: Sequence[Bundle], each: Mapping[str, float], nodes: Mapping[str, str], name: str) -> Group:
    """Ask for a group; returns at once.

    Args:
        bundles: of it.
        each: what each worker reserves.
        nodes: Ray's identifier of each node that is there, by name.
        name: by which other drivers find it.
    """
    from ray.util.placement_group import placement_group

    handle = placement_group(
        [{resource: count * bundle.workers for resource, count in each.items()} for bundle in bundles],
        strategy="PACK",
        name=name,
        bundle_label_selector=[{NODE_LABEL: nodes[bundle.node]} for bundle in bundles],
    )
    return Group(handle, bundles)


def nodes_there() -> dict[str, str]:
    """Ray's identifier of each node that is alive, by the name that we give it."""
    import ray

    alive = [(str(node["NodeID"]), str(node["NodeName"])) for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return {name: node for node, name in names_of(alive).items()}


def draining() -> dict[str, float]:
    """When each node that Ray drains shall be empty, in seconds since the epoch, by Ray's identifier; 0: at no time."""
    from ray._private.state import state  # Ray Train asks it as well

    return {node: max(0.0, at / 1000) for node, at in state.get_draining_nodes().items()}
