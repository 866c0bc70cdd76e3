"""Ray Train's own classes with the places of a run: how many workers are started, and what ties each to its node."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from orchestrator.raytrain.settings import set_environment

set_environment()

from ray.train.v2._internal.execution.scaling_policy import NoopDecision, ResizeDecision  # noqa: E402
from ray.train.v2.api import data_parallel_trainer  # noqa: E402

from orchestrator.raytrain import trainer  # noqa: E402
from orchestrator.raytrain.cluster import Room  # noqa: E402
from orchestrator.raytrain.places import Places  # noqa: E402
from orchestrator.raytrain.scaling import OnPlaces, PlacedScaling  # noqa: E402
from orchestrator.raytrain.task import WorkerTask  # noqa: E402


class Seen(Places):
    """Places that are there as a test says."""

    nodes: tuple[str, ...] = ("a", "b", "b")

    def there(self) -> list[str]:
        return list(Seen.nodes)


@pytest.fixture
def own() -> Seen:
    Seen.nodes = ("a", "b", "b")
    return Seen("/nowhere", 1, ())


def scaling(own: Seen, workers: int | tuple[int, int]) -> PlacedScaling:
    return PlacedScaling(num_workers=workers, resources_per_worker={"CPU": 1.0}, places=own)


def started(decision: object) -> int | None:
    return decision.num_workers if isinstance(decision, ResizeDecision) else None


def test_as_many_workers_start_as_there_are_places_and_a_start_with_too_few_is_tried(own: Seen) -> None:
    policy = OnPlaces(scaling(own, (2, 3)), own)
    assert started(policy.make_decision_for_non_running_worker_group()) == 3
    Seen.nodes = ("b", "b")
    assert started(policy.make_decision_for_non_running_worker_group()) == 2
    Seen.nodes = ("a",)
    assert started(policy.make_decision_for_non_running_worker_group()) == 2
    fixed = OnPlaces(scaling(own, 3), own)
    assert started(fixed.make_decision_for_non_running_worker_group()) == 3


def test_workers_start_anew_for_places_that_came_back_and_for_nothing_else(own: Seen) -> None:
    policy = OnPlaces(scaling(own, (1, 3)), own)
    young, old = (Mock(num_workers=2, start_time=start) for start in (float("inf"), float("-inf")))
    status = Mock()
    assert isinstance(policy.make_decision_for_running_worker_group(young, status), NoopDecision)
    assert started(policy.make_decision_for_running_worker_group(old, status)) == 3
    Seen.nodes = ("a",)
    again = OnPlaces(scaling(own, (1, 3)), own)
    assert isinstance(again.make_decision_for_running_worker_group(old, status), NoopDecision)


def test_a_controller_gets_the_places_of_the_run_and_looks_at_them_for_each_start(
    own: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def run(self: object, **controller: Any) -> Mock:
        given.update(controller)
        return Mock(error=None, return_value={"outcome": "succeeded"})

    monkeypatch.setattr(data_parallel_trainer.DataParallelTrainer, "_initialize_and_run_controller", run)
    task = WorkerTask(str(tmp_path / "job" / "runs" / "job-r1"), 1, os.getcwd(), 300.0)
    room = Room(2, 3, tmp_path, places=own)
    assert trainer.fit(task, room, 10) == {"outcome": "succeeded"}
    assert isinstance(given["scaling_policy"], OnPlaces)
    found = given["train_run_context"].scaling_config
    assert [each["ray.io/node-id"] for each in found._label_selector_per_worker(3)] == ["a", "b", "b"]
    Seen.nodes = ("a", "d", "d")
    assert [each["ray.io/node-id"] for each in found._label_selector_per_worker(3)] == ["a", "d", "d"]
