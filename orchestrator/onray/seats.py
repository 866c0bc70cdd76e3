"""Tune's trials in the placement group of their run: what is reserved for it is theirs, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from ray.air.execution.resources import AcquiredResources, ResourceManager, ResourceRequest
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from orchestrator.onray.cluster import Reserved

_ALMOST = 1e-6
"""Fractions of a GPU are added up."""
_LOOK_SECONDS = 2.0
_MANAGER = "PlacementGroupResourceManager"


@dataclass
class Seat(AcquiredResources):
    """Resources of one bundle of the group.

    Attributes:
        bundle: its index.
        group: Ray's handle of it.
    """

    bundle: int
    group: Any

    def _annotate_remote_entity(self, entity: Any, bundle: Mapping[str, float], bundle_index: int) -> Any:
        more = dict(bundle)
        return entity.options(
            num_cpus=more.pop("CPU", 0),
            num_gpus=more.pop("GPU", 0),
            memory=more.pop("memory", None),
            resources=more,
            scheduling_strategy=PlacementGroupSchedulingStrategy(
                self.group, placement_group_bundle_index=self.bundle, placement_group_capture_child_tasks=False
            ),
        )


class Seats(ResourceManager):
    """Gives out the bundles of a placement group.

    Args:
        group: Ray's handle of it.
        bundles: resources of each.
        nodes: Ray's identifier of the node of each.
    """

    def __init__(self, group: Any, bundles: list[dict[str, float]], nodes: list[str]) -> None:
        self._group = group
        self._free = [dict(bundle) for bundle in bundles]
        self._nodes = nodes
        self._lost: set[str] = set()
        self._looked = float("-inf")
        self._requested: list[ResourceRequest] = []

    def request_resources(self, resource_request: ResourceRequest) -> None:
        """Somebody will want them."""
        self._requested.append(resource_request)

    def cancel_resource_request(self, resource_request: ResourceRequest) -> None:
        """Nobody wants them any more."""
        self._requested.remove(resource_request)

    def has_resources_ready(self, resource_request: ResourceRequest) -> bool:
        """Whether a bundle has room for all of it."""
        return resource_request in self._requested and self._room_for(resource_request) is not None

    def acquire_resources(self, resource_request: ResourceRequest) -> Seat | None:
        """Take them; None where no bundle has room."""
        bundle = self._room_for(resource_request) if resource_request in self._requested else None
        if bundle is None:
            return None
        self._requested.remove(resource_request)
        for name, count in resource_request.required_resources.items():
            self._free[bundle][name] -= count
        return Seat(resource_request, bundle, self._group)

    def free_resources(self, acquired_resource: AcquiredResources) -> None:
        """They are not used any more."""
        assert isinstance(acquired_resource, Seat)
        for name, count in acquired_resource.resource_request.required_resources.items():
            self._free[acquired_resource.bundle][name] += count

    def clear(self) -> None:
        """Nobody wants anything."""
        self._requested = []

    def _room_for(self, request: ResourceRequest) -> int | None:
        wanted = request.required_resources
        self._look()
        for bundle, free in enumerate(self._free):
            there = self._nodes[bundle] not in self._lost
            if there and all(free.get(name, 0.0) >= count - _ALMOST for name, count in wanted.items()):
                return bundle
        return None

    def _look(self) -> None:
        """What of the group is lost with its node waits there for ever."""
        import ray

        if time.monotonic() < self._looked + _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        alive = {str(node["NodeID"]) for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]
        self._lost = set(self._nodes) - alive


@contextmanager
def seated(reserved: Reserved) -> Iterator[None]:
    """All that Tune starts in this process from here on lies in the run's group.

    Tune's own way would reserve a group for each trial, beside that of the run. What it reserves by is no option of its
    public interface, so that this replaces the class that its controller looks up.
    """
    from ray.tune.execution import tune_controller
    from ray.util.placement_group import get_placement_group, placement_group_table

    group = get_placement_group(reserved.group)
    nodes = [str(node) for _, node in sorted(placement_group_table(group)["bundles_to_node_id"].items())]
    bundles = [{name: count * reserved.nodes[node] for name, count in reserved.each.items()} for node in nodes]
    usual: Any = getattr(tune_controller, _MANAGER)
    setattr(tune_controller, _MANAGER, partial(Seats, group, bundles, nodes))
    try:
        yield
    finally:
        setattr(tune_controller, _MANAGER, usual)
