"""Tune's trials in the placement group of their run: what is reserved for it is theirs, and nothing else.

A node that is lost, or that Ray is about to take away, gets no trial; one that came back is reserved again.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ray.air.execution.resources import AcquiredResources, ResourceManager, ResourceRequest
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from orchestrator.onray.cluster import Reserved
from orchestrator.onray.groups import Bundle, Group, ask_for, draining, nodes_there
from orchestrator.onray.leaving import Leaving, own_node
from orchestrator.onray.meeting import listens
from orchestrator.rundir.layout import RunDirectory
from orchestrator.runtime.environment import RUN_DIR
from orchestrator.runtime.logs import say

_ALMOST = 1e-6
"""Fractions of a GPU are added up."""
_LOOK_SECONDS = 2.0
_ANSWERS_WITHIN = 1.0
_MANAGER = "PlacementGroupResourceManager"


@dataclass
class Place:
    """What the run has of one node: a bundle of a group.

    Attributes:
        name: of the node.
        node: Ray's identifier of it.
        workers: whose resources it has.
        each: resources of a worker.
        group: Ray's handle of the group.
        bundle: its index in the group.
        free: what no trial has.
        seated: how many trials have something.
        home: the driver's own node: as long as this process lives, so does the node.
        able: whether trials may begin here.
        doubted: a trial has left it, perhaps with the node; Ray takes a lost node for alive for some seconds.
        again: the group that was asked for when the node came back, and Ray's identifier of the node since then.
    """

    name: str
    node: str
    workers: int
    each: Mapping[str, float]
    group: Any
    bundle: int
    home: bool = False
    free: dict[str, float] = field(default_factory=dict)
    seated: int = 0
    able: bool = True
    doubted: bool = False
    again: tuple[Group, str] | None = None

    def __post_init__(self) -> None:
        self.empty()

    def empty(self) -> None:
        """No trial has anything."""
        self.doubted, self.seated = False, 0
        self.free = {name: count * self.workers for name, count in self.each.items()}

    def fits(self, wanted: Mapping[str, float]) -> bool:
        """Whether a trial may begin here with what it wants, which is the same for all trials of a search."""
        share = wanted.get("GPU", 0.0)
        if 0 < share < 1:  # parts of two GPUs are no part of one
            on_each = int(1 / share + _ALMOST)
            if self.seated >= on_each * round(self.each.get("GPU", 0.0) * self.workers):
                return False
        return self.able and all(self.free.get(name, 0.0) >= count - _ALMOST for name, count in wanted.items())

    def seat(self, wanted: Mapping[str, float]) -> None:
        """A trial has what it wants."""
        self.seated += 1
        for name, count in wanted.items():
            self.free[name] -= count

    def leave(self, wanted: Mapping[str, float]) -> None:
        """A trial has it no more."""
        self.seated -= 1
        for name, count in wanted.items():
            self.free[name] += count


@dataclass
class Seat(AcquiredResources):
    """Resources of one bundle of a group.

    Attributes:
        place: the bundle.
    """

    place: Place

    def _annotate_remote_entity(self, entity: Any, bundle: Mapping[str, float], bundle_index: int) -> Any:
        more = dict(bundle)
        return entity.options(
            num_cpus=more.pop("CPU", 0),
            num_gpus=more.pop("GPU", 0),
            memory=more.pop("memory", None),
            resources=more,
            scheduling_strategy=PlacementGroupSchedulingStrategy(
                self.place.group,
                placement_group_bundle_index=self.place.bundle,
                placement_group_capture_child_tasks=False,
            ),
        )


class Seats(ResourceManager):
    """Gives out the places of a run.

    Args:
        places: of the run, none of which a trial has; those that come back take the place of the lost ones.
        leaving: told of nodes that are about to be taken away, whose trials are to save their state and end.
    """

    def __init__(self, places: list[Place], leaving: Leaving) -> None:
        self._places, self._leaving = places, leaving
        for place in places:
            place.empty()
        self._looked = float("-inf")
        self._requested: list[ResourceRequest] = []

    def request_resources(self, resource_request: ResourceRequest) -> None:
        """Somebody will want them."""
        self._requested.append(resource_request)

    def cancel_resource_request(self, resource_request: ResourceRequest) -> None:
        """Nobody wants them any more."""
        self._requested.remove(resource_request)

    def has_resources_ready(self, resource_request: ResourceRequest) -> bool:
        """Whether a place has room for all of it."""
        return resource_request in self._requested and self._place_for(resource_request) is not None

    def acquire_resources(self, resource_request: ResourceRequest) -> Seat | None:
        """Take them; None where no place has room."""
        place = self._place_for(resource_request) if resource_request in self._requested else None
        if place is None:
            return None
        self._requested.remove(resource_request)
        place.seat(resource_request.required_resources)
        return Seat(resource_request, place)

    def free_resources(self, acquired_resource: AcquiredResources) -> None:
        """They are not used any more; as the trial may be lost with its node, that is asked before anybody gets it."""
        assert isinstance(acquired_resource, Seat)
        place = acquired_resource.place
        place.leave(acquired_resource.resource_request.required_resources)
        if not place.home:
            place.able, place.doubted, self._looked = False, True, float("-inf")

    def clear(self) -> None:
        """Nobody wants anything."""
        self._requested = []

    def get_resource_futures(self) -> list[Any]:
        """Nothing that could be awaited; Tune asks once in each turn of its loop."""
        if time.monotonic() >= self._looked + _LOOK_SECONDS:
            self.update_state()
        return []

    def update_state(self) -> None:
        """See which nodes are there, which are about to go, and which have come back."""
        self._looked = time.monotonic()
        nodes, going = nodes_there(), draining()
        able = {name: node for name, node in nodes.items() if node not in going}
        for index, place in enumerate(self._places):
            place.able = able.get(place.name) == place.node
            if place.able and place.doubted:
                place.able = answers(place.node)
                place.doubted = not place.able
            if place.node not in nodes.values() and (found := _again(place, able)) is not None:
                say(f"{place.name} is back: trials begin there again")
                self._places[index] = found
        self._leaving.say({place.node for place in self._places} & going.keys())

    def _place_for(self, request: ResourceRequest) -> Place | None:
        return next((place for place in self._places if place.fits(request.required_resources)), None)


def _again(place: Place, able: Mapping[str, str]) -> Place | None:
    """The place of a lost node that is back, once it is reserved again.

    What was reserved waits for the node as it was, which has another identifier now.
    """
    node = able.get(place.name)
    if place.again is not None and place.again[1] != node:
        with contextlib.suppress(Exception):  # of many kinds; it goes with this process
            place.again[0].remove()
        place.again = None
    if node is None:
        return None
    if place.again is None:
        place.again = ask_for([Bundle(place.name, place.workers)], place.each, able, ""), node
    group, _ = place.again
    return Place(place.name, node, place.workers, place.each, group.handle, 0) if group.is_there() else None


def answers(node: str) -> bool:
    """Whether Ray's daemon on a node listens, whatever the head believes."""
    import ray

    at = {str(each["NodeID"]): each for each in ray.nodes()}.get(node)  # type: ignore[no-untyped-call]
    return at is not None and listens((at["NodeManagerAddress"], int(at["NodeManagerPort"])), _ANSWERS_WITHIN)


def places_of(reserved: Reserved, group: Any) -> list[Place]:
    """What a run has, node by node.

    Args:
        reserved: for the run.
        group: Ray's handle of its group, whose bundles are in the same order.
    """
    names, home = {node: name for name, node in nodes_there().items()}, own_node()
    return [
        Place(names.get(node, node), node, workers, reserved.each, group, index, home=node == home)
        for index, (node, workers) in enumerate(reserved.nodes.items())
    ]


@contextmanager
def seated(reserved: Reserved) -> Iterator[None]:
    """All that Tune starts in this process from here on lies in the run's places.

    Tune's own way would reserve a group for each trial, beside that of the run. What it reserves by is no option of its
    public interface, so that this replaces the class that its controller looks up.
    """
    from ray.tune.execution import tune_controller
    from ray.util.placement_group import get_placement_group

    places = places_of(reserved, get_placement_group(reserved.group))
    leaving = Leaving(RunDirectory(Path(os.environ[RUN_DIR])))
    usual: Any = getattr(tune_controller, _MANAGER)
    setattr(tune_controller, _MANAGER, partial(Seats, places, leaving))
    try:
        yield
    finally:
        setattr(tune_controller, _MANAGER, usual)
