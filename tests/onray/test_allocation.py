"""What the driver of an allocation does as its cluster changes; Ray itself is played."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from orchestrator.onray import allocation as module
from orchestrator.onray import parts
from orchestrator.onray.allocation import Allocation
from orchestrator.onray.groups import Group
from orchestrator.onray.host import Whereabouts
from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.events import EventWriter, find_event
from orchestrator.rundir.launch import Launch, write_launch
from orchestrator.rundir.layout import JobDirectory
from orchestrator.rundir.rayjob import RayJob, read_draining


class Actor:
    """Answers where it is at once, and how its agent ended when the test says so."""

    def __init__(self, played: Played) -> None:
        self.answers: dict[str, Any] = {"whereabouts": Whereabouts("127.0.0.1", ())}
        self.whereabouts = SimpleNamespace(remote=lambda: (self, "whereabouts"))
        self.run = SimpleNamespace(remote=lambda *_: (self, "run"))
        played.actors.append(self)


class Played:
    """Ray, as far as an allocation sees it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.nodes = {"a": "id-a", "b": "id-b"}
        self.until: dict[str, float] = {}
        self.asked: list[tuple[str, ...]] = []
        self.full: set[str] = set()
        self.actors: list[Actor] = []
        self.reads = 0

    def ask_for(self, bundles: Any, each: Any, nodes: Any, name: str) -> Group:
        self.asked.append(tuple(bundle.node for bundle in bundles))
        return Group(SimpleNamespace(wait=lambda seconds: bundles[0].node not in self.full), bundles)

    def wait(self, answers: Any, timeout: float) -> Any:
        ((actor, what),) = answers
        return [item for item in answers if what in actor.answers], []

    def get(self, answer: Any) -> Any:
        actor, what = answer
        if isinstance(found := actor.answers[what], Exception):
            raise found
        return found

    def read_control(self, run: Any) -> Any:
        self.reads += 1
        return REAL_READ(run)

    def as_module(self) -> ModuleType:
        ray = ModuleType("ray")
        made = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda: Actor(self)))
        vars(ray).update(wait=self.wait, get=self.get, kill=lambda actor: None, remote=lambda kind: made)
        return ray


REAL_READ = module.read_control


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    made = Played()
    monkeypatch.setitem(sys.modules, "ray", made.as_module())
    monkeypatch.setattr("orchestrator.onray.parts.Hosted._strategy", lambda hosted: None)
    monkeypatch.setattr("orchestrator.onray.groups.Group.remove", lambda group: None)
    for each in (module, parts):
        monkeypatch.setattr(each, "time", SimpleNamespace(monotonic=lambda: made.now, time=lambda: made.now))
    for name, found in {
        "nodes_there": lambda: dict(made.nodes),
        "draining": lambda: dict(made.until),
        "ask_for": made.ask_for,
        "read_control": made.read_control,
    }.items():
        monkeypatch.setattr(module, name, found)
    return made


class Run:
    """An elastic training of two workers, one on each node."""

    def __init__(self, root: Path, played: Played) -> None:
        directory = JobDirectory.under(root, "j").run("j-r1")
        directory.create()
        launch = Launch("j", "j-r1", 1, ("true",), str(root), 2, elastic=True, max_workers=2, replacements=1)
        write_launch(directory, launch)
        self.played, self.files = played, AllocationFiles(directory, "j-r1.0")
        self.places(a=1, b=1)
        job = RayJob(placement=(("a", 1), ("b", 1)), start_within=60.0)
        self.allocation = Allocation(self.files, job, launch, "head:1")

    def places(self, **wanted: int) -> None:
        control = Control(1, 1, "run", sum(wanted.values()), placement=tuple(wanted.items()))
        write_control(self.files.run, control)

    def passes(self, seconds: float, step: float = 0.25) -> int | None:
        """The exit code, where it ends."""
        for _ in range(int(seconds / step)):
            if (code := self.allocation.step()) is not None:
                return code
            self.played.now += step
        return None


@pytest.fixture
def run(tmp_path: Path, played: Played) -> Run:
    return Run(tmp_path, played)


def test_files_are_looked_at_once_a_second_and_when_something_becomes_of_a_part(run: Run, played: Played) -> None:
    run.passes(5)
    before, asked = played.reads, len(played.asked)
    run.passes(10)
    assert 8 <= played.reads - before <= 10
    run.passes(0.5)
    played.actors[1].answers["run"] = 1
    run.passes(0.25)
    assert len(played.asked) == asked + 1, "a part that died is replaced at once"


def test_what_dies_on_a_living_node_is_brought_again_as_often_as_was_promised(run: Run, played: Played) -> None:
    run.passes(3)
    for _ in range(4):
        played.actors[-1].answers["run"] = 1
        run.passes(3)
    assert played.asked == [("a",), ("b",), ("b",)]


def test_a_node_that_is_lost_again_and_again_takes_its_part_each_time_that_it_is_back(run: Run, played: Played) -> None:
    run.passes(3)
    for number in range(4):
        del played.nodes["b"]
        played.actors[-1].answers["run"] = RuntimeError("its node is gone")
        run.passes(3)
        played.nodes["b"] = f"id-b-{number}"
        run.passes(3)
    assert played.asked == [("a",), *[("b",)] * 5]


def test_a_node_that_ray_drains_is_left_told_and_takes_nothing_new(run: Run, played: Played) -> None:
    run.passes(3)
    played.until = {"id-b": 1040.0, "id-of-others": 1009.0}
    run.passes(3)
    asked = run.files.agent(1).stop_request()
    assert (asked and asked.cause, run.files.stop_request()) == ("preempt", None)
    assert read_draining(run.files) == {"id-b": 1040.0, "id-of-others": 1009.0}
    told = find_event(run.files.run, "draining")
    assert (told and told.data) == {"until": {"b": 1040.0}}
    played.actors[1].answers["run"] = 0
    run.passes(3)
    assert played.asked == [("a",), ("b",)]
    played.nodes["b"], played.until = "id-of-another-machine", {}
    run.passes(3)
    assert played.asked == [("a",), ("b",), ("b",)]
    assert read_draining(run.files) == {}


def test_what_does_not_leave_a_drained_node_is_ended_some_time_after_the_deadline(run: Run, played: Played) -> None:
    run.passes(3)
    played.until = {"id-b": 1040.0}
    run.passes(65)
    states = [hosted.state for hosted in run.allocation._parts]
    run.passes(5)
    assert (states, [hosted.state for hosted in run.allocation._parts]) == (["running"] * 2, ["running", "gone"])


def test_nothing_begins_on_a_node_that_ray_drains(run: Run, played: Played) -> None:
    played.until = {"id-b": 1040.0}
    assert run.passes(2) == 0
    assert played.asked == []
    ended = run.files.end()
    assert ended
    assert (ended["outcome"], ended["cause"]) == ("stopped", "preempt")
    assert read_draining(run.files) == {"id-b": 1040.0}


@pytest.mark.parametrize("lacks", ["b not there", "b not free"])
def test_what_does_not_come_in_time_is_given_back(run: Run, played: Played, lacks: str) -> None:
    if lacks == "b not there":
        del played.nodes["b"]
    played.full = {"b"}
    assert run.passes(100) == 1
    assert played.now == pytest.approx(1060, abs=1)
    ended = run.files.end()
    assert ended
    assert (ended["failure_class"], lacks in ended["message"]) == ("infrastructure", True)


def test_once_the_run_has_said_how_it_ended_its_agents_end_by_themselves(run: Run, played: Played) -> None:
    run.passes(3)
    EventWriter(run.files.run, "agent-0", 1).append("finished", outcome="succeeded")
    assert run.passes(3) is None
    for actor in played.actors:
        actor.answers["run"] = 0
    assert run.passes(1) == 0


def test_nodes_that_take_all_of_a_run_along_are_named(run: Run, played: Played) -> None:
    run.places(a=1)
    run.passes(3)
    played.nodes = {}
    for actor in played.actors:
        actor.answers["run"] = RuntimeError("gone")
    assert run.passes(3) == 1
    ended = find_event(run.files.run, "finished")
    assert ended
    assert ended.data == {
        "outcome": "failed",
        "message": "a was lost, and nothing of the run was left elsewhere",
        "failure_class": "infrastructure",
    }


def test_agents_that_end_without_a_word_on_nodes_that_live_leave_it_to_ray_to_say_how(run: Run, played: Played) -> None:
    run.places(a=1)
    run.passes(3)
    run.places()
    for actor in played.actors:
        actor.answers["run"] = RuntimeError("gone")
    played.full = {"a", "b"}
    run.allocation._launch = replace(run.allocation._launch, replacements=-1)
    assert run.passes(3) == 1
    assert find_event(run.files.run, "finished") is None
