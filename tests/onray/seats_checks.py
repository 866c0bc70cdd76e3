"""Places of a placement group, given out to Tune's trials: fractions, bundles that are full, nodes that are lost."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from ray.air.execution.resources import ResourceRequest

from orchestrator.onray.seats import Seat, Seats


@pytest.fixture
def seats(monkeypatch: pytest.MonkeyPatch) -> Seats:
    """A node with one GPU, another with two, all of them there."""
    monkeypatch.setattr(Seats, "_look", lambda self: None)
    return Seats(Mock(), [{"CPU": 2.0, "GPU": 1.0}, {"CPU": 4.0, "GPU": 2.0}], ["a", "b"])


def take(seats: Seats, **resources: float) -> Seat | None:
    request = ResourceRequest([resources])
    seats.request_resources(request)
    return seats.acquire_resources(request)


def bundles(*taken: Seat | None) -> list[int | None]:
    return [None if seat is None else seat.bundle for seat in taken]


def test_trials_share_a_gpu_and_go_on_to_the_next_node(seats: Seats) -> None:
    taken = [take(seats, CPU=0.5, GPU=0.5) for _ in range(7)]
    assert bundles(*taken) == [0, 0, 1, 1, 1, 1, None]


def test_thirds_of_a_gpu_add_up_to_a_whole_one(seats: Seats) -> None:
    assert bundles(*(take(seats, CPU=0.1, GPU=1 / 3) for _ in range(4))) == [0, 0, 0, 1]


def test_a_trial_lies_on_one_node(seats: Seats) -> None:
    assert bundles(take(seats, CPU=1, GPU=2), take(seats, CPU=1, GPU=2)) == [1, None]


def test_what_is_given_back_is_given_out_again(seats: Seats) -> None:
    first = take(seats, CPU=2, GPU=1)
    assert first is not None
    assert bundles(first, take(seats, CPU=2, GPU=1)) == [0, 1]
    seats.free_resources(first)
    assert bundles(take(seats, CPU=2, GPU=1)) == [0]


def test_nothing_is_given_out_on_a_node_that_is_lost(seats: Seats) -> None:
    seats._lost = {"a"}
    assert bundles(*(take(seats, CPU=1, GPU=1) for _ in range(3))) == [1, 1, None]


def test_who_has_not_asked_gets_nothing(seats: Seats) -> None:
    request = ResourceRequest([{"CPU": 1}])
    assert not seats.has_resources_ready(request)
    seats.request_resources(request)
    assert seats.has_resources_ready(request)
    seats.cancel_resource_request(request)
    assert seats.acquire_resources(request) is None
