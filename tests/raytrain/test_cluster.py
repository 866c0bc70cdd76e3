"""What Ray Train may use: of a private Ray on the run's slots, or of the cluster's. Ray is played by functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ranks import new_run

from orchestrator.onray import meeting
from orchestrator.onray.cluster import Reserved
from orchestrator.onray.meeting import Head, RayMeeting
from orchestrator.raytrain import cluster, places
from orchestrator.raytrain.cluster import Room, ray_for
from orchestrator.rundir.control import Control, write_control
from orchestrator.runtime.context import RunContext
from orchestrator.runtime.durable import DurableEvents
from orchestrator.runtime.environment import RAY
from orchestrator.spec.regnet import RegNetWorkload

MakeWorkload = Callable[..., RegNetWorkload]
GPUS = {"workers": "1..4", "gpus_per_worker": 1, "cpus_per_worker": 3}


class Rays:
    """The Rays that were asked for."""

    def __init__(self) -> None:
        self.private: list[tuple[Any, ...]] = []
        self.joined: list[Reserved] = []

    @contextmanager
    def private_ray(self, *asked: Any) -> Iterator[tuple[Path, Head]]:
        self.private.append((asked[0], asked[1], asked[3]))
        yield Path("/"), Head("10.0.0.1:6379", "secret")

    @contextmanager
    def cluster_ray(self, reserved: Reserved, on_lost: Callable[[str], None]) -> Iterator[None]:
        self.joined.append(reserved)
        yield


@pytest.fixture
def rays(monkeypatch: pytest.MonkeyPatch) -> Rays:
    rays = Rays()
    monkeypatch.setattr(cluster, "private_ray", rays.private_ray)
    monkeypatch.setattr(cluster, "cluster_ray", rays.cluster_ray)
    monkeypatch.setattr(cluster, "set_environment", lambda: None)
    monkeypatch.delenv(RAY, raising=False)
    return rays


@pytest.fixture
def workload(tiny: MakeWorkload) -> RegNetWorkload:
    return tiny(elastic={"engine": "ray_train"}, resources=GPUS)


@pytest.fixture
def context(workload: RegNetWorkload, tmp_path: Path) -> RunContext:
    run = new_run(tmp_path, workload)
    return RunContext(0, 3, run, run.job, 1, DurableEvents(run, "rank-0", 1), host="10.0.0.1", node_slots=3)


def room(context: RunContext, workload: RegNetWorkload) -> Room | None:
    with ray_for(context, workload, lambda daemon: None) as found:
        return found


def test_a_run_without_a_ray_cluster_has_its_slots_as_a_ray_of_its_own(
    rays: Rays, context: RunContext, workload: RegNetWorkload
) -> None:
    found = room(context, workload)
    assert found is not None
    assert (found.workers, found.resources) == ((1, 3), {"CPU": 1.0, "GPU": 1.0})
    assert (rays.private, rays.joined) == ([(3, 3, None)], [])


def test_on_a_ray_cluster_workers_have_what_the_scheduler_counted_for_them(
    rays: Rays, context: RunContext, workload: RegNetWorkload, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserved = Reserved("10.0.0.9:6379", nodes={"id-1": 2, "id-2": 1}, each={"CPU": 3.0, "GPU": 1.0})
    monkeypatch.setenv(RAY, reserved.to_text())
    monkeypatch.setattr(places, "nodes_there", lambda: {"n1": "id-1", "n2": "id-2", "n3": "id-3"})
    found = room(context, workload)
    assert found is not None
    assert (found.workers, found.resources) == ((1, 3), {"CPU": 3.0, "GPU": 1.0})
    assert found.places is not None
    assert found.places.now() == (("n1", 2), ("n2", 1))
    assert (rays.private, rays.joined) == ([], [reserved])


def test_other_nodes_of_the_run_learn_where_ray_is_and_that_it_is_over(
    rays: Rays, context: RunContext, workload: RegNetWorkload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "slots_there", lambda: 3)
    context, told = replace(context, node_slots=2), RayMeeting(context.run)
    with ray_for(context, workload, lambda daemon: None) as found:
        assert found is not None
        assert (told.head(), told.over()) == (Head("10.0.0.1:6379", "secret"), False)
    assert told.over()
    assert rays.private == [(2, 2, "10.0.0.1")]


def test_a_stop_while_other_nodes_are_waited_for_ends_it(
    rays: Rays, context: RunContext, workload: RegNetWorkload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "slots_there", lambda: 2)
    write_control(context.run, Control(1, 1, "stop", 3, cause="cancel"))
    assert room(replace(context, node_slots=2), workload) is None
