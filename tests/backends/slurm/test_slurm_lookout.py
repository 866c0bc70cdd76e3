"""The queue is looked at when something is asked, and what is concluded from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from lookout_kit import A, Scene

from orchestrator.backends.protocol import AllocationState
from orchestrator.backends.slurm.states import Asked
from orchestrator.base.errors import BackendUnavailable


def test_nobody_looks_before_somebody_asks(scene: Scene) -> None:
    assert scene.lookout.due(0.0) == math.inf


def test_the_first_question_is_not_answered_from_nothing(scene: Scene) -> None:
    with pytest.raises(BackendUnavailable):
        scene.lookout.observe([A])
    assert scene.lookout.due(scene.clock.monotonic()) == 0


def test_one_question_to_squeue_serves_a_thousand_allocations(scene: Scene) -> None:
    asked = [Asked(f"j{i}.0", job=str(i), submitted=1000.0) for i in range(1, 1001)]
    for one in asked:
        scene.slurm.queue(one.allocation, "RUNNING", one.job, nodes="n1")
    scene.run(0, *asked)
    found = scene.ask(*asked)
    assert {seen.state for seen in found.values()} == {AllocationState.RUNNING}
    assert scene.slurm.count("squeue") == 1


def test_in_a_quiet_minute_there_are_six_looks(scene: Scene) -> None:
    scene.slurm.queue("a.0", "RUNNING")
    scene.run(600, A)
    assert scene.slurm.count("squeue") == pytest.approx(60, abs=3)


def test_however_much_changes_there_are_no_more_than_eight_questions_a_minute(scene: Scene) -> None:
    asked = [Asked(f"j{i}.0", job=str(i), submitted=1000.0) for i in range(1, 1001)]
    for i, one in enumerate(asked):
        if i % 2:
            scene.slurm.queue(one.allocation, "RUNNING", one.job)
    for _ in range(600):
        scene.lookout.changed()
        scene.run(1, *asked[:20])
    minutes = scene.clock.monotonic() / 60
    assert scene.slurm.count("squeue") <= 6 * minutes + 3
    assert len(scene.slurm.asked) <= 8 * minutes + 6


def test_after_a_change_a_look_comes_soon(scene: Scene) -> None:
    scene.slurm.queue("a.0", "PENDING")
    scene.run(25, A)
    before = scene.slurm.count("squeue")
    scene.lookout.changed()
    scene.run(2, A)
    assert scene.slurm.count("squeue") == before + 1


def test_after_a_burst_of_changes_looks_come_soon_again(scene: Scene) -> None:
    for _ in range(10):
        scene.lookout.changed()
        scene.run(2, A)
    scene.run(150, A)
    before = scene.slurm.count("squeue")
    scene.lookout.changed()
    scene.run(2, A)
    assert scene.slurm.count("squeue") == before + 1


def test_where_nobody_asks_any_more_nobody_looks(scene: Scene) -> None:
    scene.run(0, A)
    scene.run(300)
    assert scene.lookout.due(scene.clock.monotonic()) == math.inf
    assert scene.slurm.count("squeue") <= 4


def test_a_wanted_look_begins_at_once_even_after_a_burst(scene: Scene) -> None:
    scene.run(0, A)
    for _ in range(5):
        scene.clock.advance(0.1)
        ticket = scene.lookout.want()
        assert not scene.lookout.ended_since(ticket)
        scene.work()
        assert scene.lookout.ended_since(ticket)


def test_what_was_launched_after_the_newest_look_waits(scene: Scene) -> None:
    scene.run(0, A)
    scene.clock.advance(1)
    scene.lookout.launching("b.0")
    scene.lookout.launched("b.0")
    assert scene.ask(Asked("b.0", job="2"))["b.0"].state is AllocationState.PENDING


def test_a_look_that_falls_into_a_launch_says_nothing_of_it(scene: Scene) -> None:
    scene.lookout.launching("b.0")
    assert scene.of(Asked("b.0")).state is AllocationState.PENDING
    scene.clock.advance(1)
    scene.lookout.launched("b.0")
    scene.clock.advance(1)
    assert scene.of(Asked("b.0")).state is AllocationState.ABSENT


def test_what_slurm_refused_before_says_nothing_of_a_new_launch(scene: Scene) -> None:
    scene.slurm.queue("b.0", "FAILED", "7")
    scene.lookout.launching("b.0")
    assert scene.of(Asked("b.0")).state is AllocationState.PENDING
    scene.clock.advance(1)
    scene.lookout.launched("b.0")
    assert scene.ask(Asked("b.0", job="8"))["b.0"].state is AllocationState.PENDING
    scene.slurm.queue("b.0", "RUNNING", "8")
    assert scene.of(Asked("b.0", job="8")).state is AllocationState.RUNNING


def test_who_was_never_submitted_is_absent(scene: Scene) -> None:
    assert scene.of(Asked("b.0")).state is AllocationState.ABSENT


def test_a_job_whose_submission_was_not_answered_is_found_by_its_name(scene: Scene) -> None:
    scene.slurm.queue("b.0", "RUNNING", "77")
    found = scene.of(Asked("b.0"))
    assert (found.state, found.engine_id) == (AllocationState.RUNNING, "77")


def test_an_answer_that_cannot_be_read_in_full_concludes_nothing(scene: Scene) -> None:
    scene.slurm.programs["squeue"] = lambda *_: "Service message: hello\n"
    found = scene.of(A)
    assert found.state is AllocationState.UNKNOWN
    assert "Service message" in found.detail


def test_a_silent_slurm_is_unknown_since_the_last_good_look(scene: Scene) -> None:
    scene.slurm.queue("a.0", "RUNNING")
    scene.run(0, A)
    scene.slurm.silence("squeue")
    scene.run(60, A)
    with pytest.raises(BackendUnavailable, match="squeue: Unable to contact") as raised:
        scene.lookout.observe([A])
    assert raised.value.since == 1_000_000_000.0


def test_a_question_that_takes_much_longer_than_the_last_good_look_is_told(scene: Scene) -> None:
    def answers_after(seconds: float) -> Callable[..., str]:
        def answer(*_: str) -> str:
            waits.append(hears_after(scene, seconds))
            return ""

        return answer

    waits: list[float | None] = []
    for seconds in (2.5, 4.0, 8.0, 30.0):
        scene.slurm.programs["squeue"] = answers_after(seconds)
        scene.lookout.want()
        scene.lookout.step(scene.clock.monotonic())
    assert waits == [None, None, None, 15.5]


def test_nodes_that_slurm_does_not_tell_are_as_telling_as_a_look(scene: Scene) -> None:
    scene.run(0, A)
    scene.lookout.heard()
    with scene.lookout.asking("scontrol", scene.clock.monotonic()):
        assert hears_after(scene, 30) == 3.5
        with pytest.raises(BackendUnavailable, match="scontrol has been running for 30 s"):
            scene.lookout.heard()
    scene.lookout.heard()


def hears_after(scene: Scene, seconds: float) -> float | None:
    """Time goes on; after how many seconds of it Slurm is told to be silent."""
    found = None
    for half in range(1, int(seconds * 2) + 1):
        scene.clock.advance(0.5)
        try:
            scene.lookout.observe([A])
        except BackendUnavailable as error:
            if "has been running" in error.message:
                found = found or half / 2
    return found


def test_a_silent_slurm_is_asked_no_more_often(scene: Scene) -> None:
    scene.slurm.silence("squeue")
    scene.run(600, A)
    assert scene.slurm.count("squeue") <= 63


def test_a_slurm_that_answers_again_is_believed_again(scene: Scene) -> None:
    answers = scene.slurm.programs["squeue"]
    scene.slurm.queue("a.0", "RUNNING")
    scene.slurm.silence("squeue")
    scene.run(30, A)
    scene.slurm.programs["squeue"] = answers
    scene.run(15, A)
    assert scene.ask(A)["a.0"].state is AllocationState.RUNNING


def test_a_look_that_hangs_is_told(scene: Scene) -> None:
    scene.run(0, A)
    errors = []

    def hang(*_: str) -> str:
        scene.slurm.programs["squeue"] = lambda *_: ""
        scene.clock.advance(20)
        try:
            scene.lookout.observe([A])
        except BackendUnavailable as error:
            errors.append(error.message)
        return ""

    scene.slurm.programs["squeue"] = hang
    scene.of(A)
    assert "squeue has been running for 20 s" in errors[0]


def test_the_younger_of_two_jobs_of_one_allocation_is_cancelled_once(scene: Scene) -> None:
    scene.slurm.queue("a.0", "RUNNING", "5", submitted="1000")
    scene.slurm.queue("a.0", "PENDING", "9", submitted="1005")
    scene.run(30, A)
    assert [call for call in scene.slurm.asked if call[0] == "scancel"] == [("scancel", "--name=a.0", "9")]
    assert scene.ask(A)["a.0"].engine_id == "5"


def test_of_a_second_job_that_we_cancelled_nobody_hears_again_when_the_first_ends(scene: Scene) -> None:
    scene.slurm.queue("a.0", "RUNNING", "3", submitted="1000")
    scene.slurm.queue("a.0", "PENDING", "9", submitted="1005")
    scene.run(15, replace(A, job="3"))
    assert scene.slurm.count("scancel") == 1
    scene.slurm.queue("a.0", "COMPLETED", "3", submitted="1000")
    scene.slurm.queue("a.0", "CANCELLED", "9", submitted="1005")
    for lookout in (scene, Scene(scene.slurm)):  # also by a server that knows nothing of it
        seen = lookout.of(replace(A, job="3"))
        assert (seen.engine_id, seen.failure_class) == ("3", "infrastructure")  # and not permanent


def test_a_second_job_is_cancelled_only_once_its_number_is_not_the_one_that_is_written_down(scene: Scene) -> None:
    scene.slurm.queue("a.0", "RUNNING", "3", submitted="1000")
    scene.slurm.queue("a.0", "PENDING", "9", submitted="1005")
    scene.run(25, replace(A, job="9"))
    assert scene.slurm.count("scancel") == 0
    assert scene.ask(replace(A, job="9"))["a.0"].engine_id == "3"  # by which the record is put right
    scene.run(15, replace(A, job="3"))
    assert scene.slurm.count("scancel") == 1


def test_a_second_job_that_scancel_does_not_end_is_cancelled_at_the_next_look(scene: Scene) -> None:
    scene.slurm.queue("a.0", "RUNNING", "3", submitted="1000")
    scene.slurm.queue("a.0", "PENDING", "9", submitted="1005")
    scene.slurm.silence("scancel")
    scene.run(15, A)
    tried = scene.slurm.count("scancel")
    scene.slurm.programs["scancel"] = lambda *_: ""
    for _ in range(3):
        scene.of(A)
    assert tried >= 1
    assert scene.slurm.count("scancel") == tried + 1


def test_the_jobs_of_another_server_are_left_alone(scene: Scene) -> None:
    scene.slurm.queue("b.0", "RUNNING", "5")
    scene.slurm.queue("b.0", "PENDING", "9")
    scene.run(30, A)
    assert scene.slurm.count("scancel") == 0


def test_trouble_of_our_own_makes_everything_unknown_and_is_tried_again(scene: Scene) -> None:
    def trouble(*_: str) -> str:
        raise ZeroDivisionError("by zero")

    answers = scene.slurm.programs["squeue"]
    scene.slurm.queue("a.0", "RUNNING")
    scene.slurm.programs["squeue"] = trouble
    scene.run(0, A)
    with pytest.raises(BackendUnavailable, match="by zero"):
        scene.lookout.observe([A])
    scene.slurm.programs["squeue"] = answers
    scene.run(15, A)
    assert scene.ask(A)["a.0"].state is AllocationState.RUNNING
