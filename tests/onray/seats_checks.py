"""Places of a run, given out to Tune's trials: fractions, places that are full, nodes that are lost and come back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from ray.air.execution.resources import ResourceRequest

from orchestrator.onray import seats as module
from orchestrator.onray.cluster import Reserved
from orchestrator.onray.leaving import Leaving
from orchestrator.onray.seats import Seat, Seats, places_of
from orchestrator.rundir.layout import JobDirectory

EACH = {"CPU": 2.0, "GPU": 1.0}


@dataclass
class Ray:
    """What Ray has, and what was asked of it."""

    nodes: dict[str, str] = field(default_factory=lambda: {"n1": "a", "n2": "b"})
    going: dict[str, float] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    looks: int = 0
    now: float = 0.0
    asked: list[Mock] = field(default_factory=list)
    gives: bool = True

    def nodes_there(self) -> dict[str, str]:
        self.looks += 1
        return dict(self.nodes)

    def ask_for(self, bundles: Any, each: Any, nodes: Any, name: str) -> Mock:
        self.asked.append(Mock(is_there=lambda: self.gives, node=nodes[bundles[0].node], workers=bundles[0].workers))
        return self.asked[-1]


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    ray = Ray()
    monkeypatch.setattr(module, "nodes_there", ray.nodes_there)
    monkeypatch.setattr(module, "draining", lambda: ray.going)
    monkeypatch.setattr(module, "ask_for", ray.ask_for)
    monkeypatch.setattr(module, "own_node", lambda: "a")
    monkeypatch.setattr(module, "answers", lambda node: node not in ray.silent)
    monkeypatch.setattr(module, "time", Mock(monotonic=lambda: ray.now))
    return ray


@pytest.fixture
def leaving(tmp_path: Path) -> Leaving:
    job = JobDirectory.under(tmp_path, "job-1")
    job.create()
    job.run("job-1-r1").create()
    return Leaving(job.run("job-1-r1"))


@pytest.fixture
def seats(ray: Ray, leaving: Leaving) -> Seats:
    """A node with one GPU, another with two, all of them there."""
    found = Seats(places_of(Reserved("", "g", {"a": 1, "b": 2}, EACH), Mock()), leaving)
    found.update_state()
    return found


def take(seats: Seats, **resources: float) -> Seat | None:
    request = ResourceRequest([resources])
    seats.request_resources(request)
    return seats.acquire_resources(request)


def nodes(*taken: Seat | None) -> list[str | None]:
    return [None if seat is None else seat.place.node for seat in taken]


def turn(seats: Seats, ray: Ray, after: float = 2.0) -> None:
    """One of Tune's loop, after so many seconds."""
    ray.now += after
    seats.get_resource_futures()


def test_trials_share_a_gpu_and_go_on_to_the_next_node(seats: Seats) -> None:
    taken = [take(seats, CPU=0.5, GPU=0.5) for _ in range(7)]
    assert nodes(*taken) == ["a", "a", "b", "b", "b", "b", None]


def test_thirds_of_a_gpu_add_up_to_a_whole_one(seats: Seats) -> None:
    assert nodes(*(take(seats, CPU=0.1, GPU=1 / 3) for _ in range(4))) == ["a", "a", "a", "b"]


def test_what_is_left_of_two_gpus_is_no_part_of_one(seats: Seats) -> None:
    assert nodes(*(take(seats, CPU=0.1, GPU=0.6) for _ in range(4))) == ["a", "b", "b", None]


def test_a_trial_lies_on_one_node(seats: Seats) -> None:
    assert nodes(take(seats, CPU=1, GPU=2), take(seats, CPU=1, GPU=2)) == ["b", None]


def test_what_is_given_back_is_given_out_again_once_its_node_answers(seats: Seats, ray: Ray) -> None:
    own, other, _ = (take(seats, CPU=2, GPU=1) for _ in range(3))
    assert own is not None
    assert other is not None
    assert nodes(own, other) == ["a", "b"]
    ray.silent = {"a", "b"}
    seats.free_resources(other)
    assert nodes(take(seats, CPU=2, GPU=1)) == [None]
    turn(seats, ray, 0.0)
    assert nodes(take(seats, CPU=2, GPU=1)) == [None], "Ray does not know yet that it is lost"
    seats.free_resources(own)
    assert nodes(take(seats, CPU=2, GPU=1)) == ["a"], "who asks is there"
    ray.silent.clear()
    turn(seats, ray)
    assert nodes(take(seats, CPU=2, GPU=1)) == ["b"]


def test_ray_is_not_asked_in_every_turn(seats: Seats, ray: Ray) -> None:
    before = ray.looks
    for _ in range(9):
        turn(seats, ray, 0.4)
        take(seats, CPU=9)
    assert ray.looks == before + 1


def test_a_node_that_is_lost_gets_no_trial_and_is_reserved_again_when_it_is_back(seats: Seats, ray: Ray) -> None:
    del ray.nodes["n2"]
    turn(seats, ray)
    assert nodes(*(take(seats, CPU=1, GPU=1) for _ in range(2))) == ["a", None]

    ray.nodes["n2"], ray.gives = "c", False
    turn(seats, ray)
    turn(seats, ray)
    assert [(group.node, group.workers) for group in ray.asked] == [("c", 2)]
    assert nodes(take(seats, CPU=1, GPU=1)) == [None]
    ray.gives = True
    turn(seats, ray)
    again = take(seats, CPU=4, GPU=2)
    assert again is not None
    assert (again.place.node, again.place.group, again.place.bundle) == ("c", ray.asked[0].handle, 0)


def test_a_node_that_is_lost_again_before_it_was_reserved_is_asked_for_anew(seats: Seats, ray: Ray) -> None:
    ray.nodes["n1"], ray.gives = "c", False
    turn(seats, ray)
    ray.nodes["n1"] = "d"
    turn(seats, ray)
    assert [group.node for group in ray.asked] == ["c", "d"]
    assert ray.asked[0].remove.called


def test_a_node_that_is_to_be_taken_away_gets_no_trial_and_those_that_it_has_are_told(
    seats: Seats, ray: Ray, leaving: Leaving
) -> None:
    ray.going["a"], ray.going["stranger"] = 20.0, 20.0
    turn(seats, ray)
    assert nodes(take(seats, CPU=1, GPU=1)) == ["b"]
    leaving._here = "b"
    assert not leaving.here()
    leaving._here = "a"
    assert leaving.here()
    ray.going.clear()
    turn(seats, ray)
    assert not leaving.here()
    assert nodes(take(seats, CPU=1, GPU=1)) == ["a"]


def test_who_has_not_asked_gets_nothing(seats: Seats) -> None:
    request = ResourceRequest([{"CPU": 1}])
    assert not seats.has_resources_ready(request)
    seats.request_resources(request)
    assert seats.has_resources_ready(request)
    seats.cancel_resource_request(request)
    assert seats.acquire_resources(request) is None
