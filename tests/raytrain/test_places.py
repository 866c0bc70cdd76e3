"""Places of a training by Ray Train: by the names that the control plane gives, and by the nodes that Ray has now."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.raytrain import main, places
from orchestrator.raytrain.cluster import Room
from orchestrator.raytrain.places import Places, selectors
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.layout import JobDirectory, RunDirectory


@dataclass
class Nodes:
    """What Ray has: identifiers by name, and those that it drains."""

    there: dict[str, str] = field(default_factory=lambda: {"n1": "a", "n2": "b", "n3": "c"})
    going: dict[str, float] = field(default_factory=dict)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    nodes = Nodes()
    monkeypatch.setattr(places, "nodes_there", lambda: nodes.there)
    monkeypatch.setattr(places, "draining", lambda: nodes.going)
    return nodes


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    job = JobDirectory.under(tmp_path, "job-a")
    job.create()
    job.run("job-a-r1").create()
    return job.run("job-a-r1")


def test_a_node_that_comes_back_has_its_workers_again_and_one_that_is_drained_gets_none(
    nodes: Nodes, run: RunDirectory
) -> None:
    own = Places.of(run, 1, {"a": 1, "b": 2})
    assert own.there() == ["a", "b", "b"]
    del nodes.there["n2"]
    assert own.there() == ["a"]
    nodes.there["n2"] = "d"
    assert own.there() == ["a", "d", "d"]
    nodes.going["a"] = 20.0
    assert own.there() == ["d", "d"]


def test_what_the_control_plane_says_now_counts(nodes: Nodes, run: RunDirectory) -> None:
    own = Places.of(run, 2, {"a": 2})
    write_control(run, Control(1, 1, "run", 2, placement=(("n2", 2),)))
    assert own.there() == ["a", "a"], "that was said of a run before this one"
    write_control(run, Control(2, 2, "run", 2, placement=(("n2", 1), ("n3", 1))))
    assert own.there() == ["b", "c"]


def test_each_worker_is_tied_to_a_place_of_its_own_and_who_has_none_waits() -> None:
    assert [each["ray.io/node-id"] for each in selectors(["a", "b", "b"], 2)] == ["a", "b"]
    assert [each["ray.io/node-id"] for each in selectors(["a"], 2)] == ["a", "absent"]


def test_a_run_without_the_places_that_it_needs_ends_as_one_that_lost_them_to_others(
    nodes: Nodes, run: RunDirectory
) -> None:
    room = Room(2, 3, run.path, places=Places.of(run, 1, {"a": 1, "b": 2}))
    nodes.going["a"] = 20.0
    assert main._lack(room) is None
    nodes.going["b"] = 20.0
    word = main._lack(room)
    assert word is not None
    assert (word.outcome, word.failure_class) == ("failed", "preempted")
    assert "0 of the 2 places" in word.message


def test_ray_train_goes_by_the_places_as_scaling_checks_says() -> None:
    """In a process of its own, for Ray reads its environment once in one."""
    checks = Path(__file__).with_name("scaling_checks.py")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", str(checks)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
