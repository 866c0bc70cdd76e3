"""The script of a storm, and the membership that makes it hit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.base.errors import TimedOut, UsageError
from orchestrator.rundir.membership import Member, View
from orchestrator.runtime.membership.protocol import Phase
from orchestrator.verification import hook
from orchestrator.verification.hook import Marks, StormMembership
from orchestrator.verification.storm import Action, Storm, usual_storm


class FakeMembership:
    """A worker's place; views are what the test puts there."""

    def __init__(self, number: int, *views: View) -> None:
        self.number, self.views = number, list(views)
        self.beats: list[tuple[int, Phase]] = []
        self.polls_until_newer = 0

    def ready(self, port: int) -> None:
        """Warm."""

    def next_view(self, after: int) -> View | None:
        return next((view for view in self.views if view.epoch > after), None)

    def newest_epoch(self) -> int:
        self.polls_until_newer -= 1
        return self.views[0].epoch + (self.polls_until_newer < 0)

    def broken(self, epoch: int, reason: str) -> None:
        """Lost."""

    def beat(self, step: int, phase: Phase) -> None:
        self.beats.append((step, phase))


def view(*numbers: int, epoch: int = 1) -> View:
    return View(epoch, tuple(Member(number, "127.0.0.1", 1, 100 + number) for number in numbers))


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Signals that this process would have sent to itself."""
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append(number))
    monkeypatch.setattr(hook, "_NOTICE_SECONDS", 0.0)
    return sent


Worker = Callable[..., StormMembership]


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    """A worker in a view, in a storm of one action."""

    def make(number: int, action: Action, *numbers: int, polls: int = 0) -> StormMembership:
        inner = FakeMembership(number, view(*numbers))
        inner.polls_until_newer = polls
        membership = StormMembership(inner, Storm(2, (action,)), Marks(tmp_path))
        membership.next_view(0)
        return membership

    return make


def test_a_storm_is_read_as_it_was_written(tmp_path: Path) -> None:
    storm = usual_storm(3)
    storm.write(tmp_path / "storm.json")
    assert Storm.read(tmp_path / "storm.json") == storm
    with pytest.raises(UsageError):
        Storm.read(tmp_path / "nothing.json")


@pytest.mark.parametrize("most", [2, 3, 4])
def test_the_usual_storm_has_everything_in_rising_steps_and_steps_after_it(most: int) -> None:
    storm = usual_storm(most)
    steps = [action.step for action in storm.actions]
    assert steps == sorted(set(steps))
    assert {action.kind for action in storm.actions} == {"resize", "gather", "kill", "hang", "stop", "crash"}
    assert {action.who for action in storm.actions if action.kind == "kill"} == {"leader", "last"}
    assert storm.steps > steps[-1] + 1
    assert all(1 <= action.workers <= most for action in storm.actions if action.kind not in ("kill", "hang"))


@pytest.mark.parametrize(("kind", "sent"), [("kill", signal.SIGKILL), ("hang", signal.SIGSTOP)])
def test_a_hit_lands_once_where_the_worker_waits_in_the_middle_of_the_step(
    worker: Worker, signals: list[int], tmp_path: Path, kind: str, sent: int
) -> None:
    hit = worker(1, Action(kind, 5, who="last"), 0, 1)  # type: ignore[arg-type]
    for step, phase in ((4, "compute"), (4, "collective"), (4, "idle"), (5, "compute")):
        hit.beat(step, phase)  # type: ignore[arg-type]
    assert signals == []
    hit.beat(5, "collective")
    hit.beat(5, "collective")
    assert signals == [sent]
    assert Marks(tmp_path).hit_in(0) == 1


def test_waiting_between_steps_is_not_hit(worker: Worker, signals: list[int]) -> None:
    hit = worker(1, Action("kill", 5, who="last"), 0, 1)
    hit.beat(5, "idle")
    hit.beat(5, "collective")
    assert signals == []


def test_only_the_worker_that_is_meant_is_hit(worker: Worker, signals: list[int]) -> None:
    for number in (0, 1):
        spared = worker(number, Action("kill", 5, who="leader" if number else "last"), 0, 1)
        spared.beat(5, "compute")
        spared.beat(5, "collective")
    assert signals == []


def test_a_worker_alone_is_not_hit(worker: Worker, signals: list[int]) -> None:
    alone = worker(0, Action("kill", 5, who="last"), 0)
    alone.beat(5, "compute")
    alone.beat(5, "collective")
    assert signals == []


def test_a_resize_is_asked_for_by_the_leader_and_waited_for_by_all(worker: Worker, tmp_path: Path) -> None:
    marks = Marks(tmp_path)
    worker(1, Action("resize", 5, workers=1), 0, 1, polls=3).beat(5, "compute")
    assert not marks.reached(0).exists()
    worker(0, Action("resize", 5, workers=1), 0, 1, polls=3).beat(5, "compute")
    assert marks.reached(0).exists()


def test_workers_gather_only_where_some_are_missing(worker: Worker) -> None:
    worker(0, Action("gather", 5, workers=2), 0, 1, polls=10**9).beat(5, "compute")
    worker(0, Action("gather", 5, workers=3), 0, 1, polls=3).beat(5, "compute")


def test_what_does_not_come_about_ends_the_training(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "_WAIT_SECONDS", 0.05)
    with pytest.raises(TimedOut, match="step 5"):
        worker(0, Action("stop", 5, workers=1), 0, 1).beat(5, "compute")


def test_an_action_that_has_happened_does_not_happen_again(worker: Worker, signals: list[int], tmp_path: Path) -> None:
    marks = Marks(tmp_path)
    marks.set(marks.acted(0), "1")
    again = worker(0, Action("stop", 5, workers=1), 0, 1)
    again.beat(5, "compute")
    assert not marks.reached(0).exists()
    assert signals == []


def test_all_else_is_the_real_membership_s(tmp_path: Path) -> None:
    inner = FakeMembership(7, view(7), view(7, 8, epoch=2))
    membership = StormMembership(inner, Storm(1), Marks(tmp_path))
    assert membership.number == 7
    assert membership.next_view(1) == inner.views[1]
    membership.beat(3, "compute")
    assert inner.beats == [(3, "compute")]


def test_what_starts_the_workers_imports_nothing_of_theirs() -> None:
    program = "import sys, orchestrator.verification.elastic; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
