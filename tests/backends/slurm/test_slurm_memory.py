"""How jobs ended that squeue has forgotten: accounting is asked, and believed within limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lookout_kit import A, Scene

from orchestrator.backends.protocol import AllocationState
from orchestrator.backends.slurm import memory
from orchestrator.backends.slurm.states import Asked


def test_accounting_is_asked_for_those_only_that_squeue_has_forgotten(scene: Scene) -> None:
    scene.slurm.queue("b.0", "RUNNING", "2")
    scene.slurm.account("a.0", "TIMEOUT", "1")
    scene.run(5, A, Asked("b.0", job="2", submitted=1000.0))
    found = scene.ask(A)["a.0"]
    assert (found.state, found.failure_class) == (AllocationState.ENDED, "preempted")
    (call,) = (call for call in scene.slurm.asked if call[0] == "sacct")
    assert "--jobs=1" in call


def test_an_end_that_accounting_told_is_not_asked_for_again(scene: Scene) -> None:
    scene.slurm.account("a.0", "NODE_FAIL", "1")
    scene.run(600, A)
    assert scene.slurm.count("sacct") == 1
    assert scene.ask(replace(A, cancelled=True))["a.0"].state is AllocationState.ENDED


def test_of_too_many_forgotten_jobs_those_that_were_not_asked_about_are_asked_about_next(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MOST_AT_ONCE", 2)
    asked = [Asked(f"j{i}.0", job=str(i), submitted=1000.0) for i in range(1, 6)]
    for one in asked:
        scene.slurm.account(one.allocation, "RUNNING", one.job)
    scene.run(150, *asked)
    for one in asked:
        scene.slurm.account(one.allocation, "TIMEOUT", one.job)
    scene.run(300, *asked)
    assert {scene.ask(*asked)[one.allocation].failure_class for one in asked} == {"preempted"}
    assert all(len(call[-1].split(",")) <= 2 for call in scene.slurm.asked if call[0] == "sacct")


def test_a_thousand_forgotten_jobs_are_one_question(scene: Scene) -> None:
    asked = [Asked(f"j{i}.0", job=str(i), submitted=1000.0) for i in range(1, 1001)]
    for one in asked:
        scene.slurm.account(one.allocation, "COMPLETED", one.job)
    scene.run(5, *asked)
    assert {seen.state for seen in scene.ask(*asked).values()} == {AllocationState.ENDED}
    assert scene.slurm.count("sacct") == 1


def test_until_accounting_has_answered_nothing_is_concluded(scene: Scene) -> None:
    scene.slurm.silence("sacct")
    scene.run(300, A)
    found = scene.ask(A)["a.0"]
    assert found.state is AllocationState.UNKNOWN
    assert "has not answered since 2001-09-09" in found.detail
    assert scene.slurm.count("sacct") <= 7


def test_a_number_that_came_round_is_not_taken_for_ours(scene: Scene) -> None:
    scene.slurm.account("somebody-elses.0", "COMPLETED", "1")
    scene.run(30, A)
    assert scene.ask(A)["a.0"].state is AllocationState.UNKNOWN
    scene.run(300, A)
    found = scene.ask(A)["a.0"]
    assert (found.state, found.failure_class) == (AllocationState.ENDED, None)
    assert "accounting has no word of it" in found.detail


def test_an_older_job_of_that_number_and_name_is_not_ours(scene: Scene) -> None:
    scene.slurm.account("a.0", "COMPLETED", "1", submitted="1000")
    scene.run(30, replace(A, submitted=100_000.0))
    assert scene.ask(replace(A, submitted=100_000.0))["a.0"].state is AllocationState.UNKNOWN


def test_a_clock_that_jumps_by_an_hour_loses_no_end(scene: Scene) -> None:
    asked = replace(A, submitted=10_000.0)
    scene.slurm.account("a.0", "OUT_OF_MEMORY", "1", submitted="6400")
    scene.run(30, asked)
    assert scene.ask(asked)["a.0"].failure_class == "out_of_memory"


def test_what_accounting_lags_behind_with_is_asked_again(scene: Scene) -> None:
    scene.slurm.account("a.0", "RUNNING", "1")
    scene.run(70, A)
    scene.slurm.account("a.0", "OUT_OF_MEMORY", "1")
    scene.run(70, A)
    assert scene.ask(A)["a.0"].failure_class == "out_of_memory"


def test_what_is_lost_in_a_silence_is_over_soon_after_it(scene: Scene) -> None:
    answers = scene.slurm.programs["squeue"]
    scene.slurm.queue("a.0", "RUNNING", "1")
    scene.run(120, A)
    scene.slurm.silence("squeue")
    scene.run(120, A)
    scene.slurm.jobs.clear()
    scene.slurm.account("a.0", "RUNNING", "1")
    scene.slurm.programs["squeue"] = answers
    scene.run(45, A)
    assert scene.ask(A)["a.0"].state is AllocationState.ENDED
    assert scene.slurm.count("sacct") == 3


def test_accounting_has_some_time_between_two_questions_about_one_job(scene: Scene) -> None:
    scene.slurm.queue("a.0", "RUNNING", "1")
    scene.run(120, A)
    scene.slurm.jobs.clear()
    scene.slurm.account("a.0", "RUNNING", "1")
    scene.of(A)
    scene.run(9, A)
    assert scene.slurm.count("sacct") == 1
    scene.run(5, A)
    assert scene.slurm.count("sacct") == 2


def test_silences_one_after_the_other_do_not_make_accounting_asked_more_often(scene: Scene) -> None:
    answers = scene.slurm.programs["squeue"]
    asked = [Asked(f"j{i}.0", job=str(i), submitted=1000.0) for i in range(1, 61)]
    for one in asked:
        scene.slurm.account(one.allocation, "RUNNING", one.job)
    for number in range(1, 61):
        scene.slurm.silence("squeue")
        scene.run(10, *asked[:number])
        scene.slurm.programs["squeue"] = answers
        scene.run(10, *asked[:number])
    assert scene.slurm.count("sacct") <= 2 + 20 + 5


def test_what_accounting_never_ends_is_over_all_the_same(scene: Scene) -> None:
    scene.slurm.account("a.0", "RUNNING", "1")
    scene.run(300, A)
    found = scene.ask(A)["a.0"]
    assert found.state is AllocationState.ENDED
    assert "accounting calls it RUNNING" in found.detail


def test_without_accounting_what_squeue_has_forgotten_is_over(scene: Scene) -> None:
    scene.slurm.programs["scontrol"] = lambda *_: "AccountingStorageType = (null)\n"
    scene.slurm.queue("a.0", "RUNNING", "1")
    scene.run(20, A)
    scene.slurm.jobs.clear()
    scene.run(20, A)
    found = scene.ask(A)["a.0"]
    assert (found.state, found.engine_id) == (AllocationState.ENDED, "1")
    assert "there is no accounting" in found.detail
    assert scene.slurm.count("sacct") == 0


def test_a_job_found_by_its_name_is_asked_for_by_its_number_later(scene: Scene) -> None:
    lost = Asked("b.0", submitted=1000.0)
    scene.slurm.queue("b.0", "RUNNING", "77")
    scene.run(20, lost)
    scene.slurm.jobs.clear()
    scene.slurm.account("b.0", "TIMEOUT", "77")
    scene.run(70, lost)
    found = scene.ask(lost)["b.0"]
    assert (found.state, found.engine_id) == (AllocationState.ENDED, "77")


def test_who_cancelled_a_job_is_asked_where_the_budget_allows(scene: Scene) -> None:
    scene.slurm.queue("a.0", "RUNNING", "1")
    scene.run(20, A)
    scene.slurm.queue("a.0", "CANCELLED", "1")
    scene.slurm.account("a.0", "CANCELLED by 0", "1")
    scene.run(20, A)
    assert scene.ask(A)["a.0"].detail.startswith("root cancelled Slurm's job 1")


def test_who_cancelled_a_job_is_waited_for_as_accounting_hears_of_it_after_the_queue(scene: Scene) -> None:
    scene.slurm.queue("a.0", "RUNNING", "1")
    scene.run(20, A)
    scene.slurm.queue("a.0", "CANCELLED", "1")
    scene.slurm.account("a.0", "RUNNING", "1")
    scene.run(13, A)
    assert scene.ask(A)["a.0"].provisional
    scene.slurm.account("a.0", "CANCELLED by 0", "1")
    scene.run(72, A)
    found = scene.ask(A)["a.0"]
    assert not found.provisional
    assert found.detail.startswith("root cancelled Slurm's job 1")


def test_who_cancelled_a_job_is_not_waited_for_where_accounting_never_hears_of_it(scene: Scene) -> None:
    scene.slurm.queue("a.0", "CANCELLED", "1")
    scene.slurm.account("a.0", "RUNNING", "1")
    scene.run(20, A)
    assert scene.ask(A)["a.0"].provisional
    scene.run(90, A)
    found = scene.ask(A)["a.0"]
    assert (found.failure_class, found.provisional) == ("permanent", False)


def test_who_cancelled_a_job_is_not_waited_for_where_accounting_is_silent(scene: Scene) -> None:
    scene.slurm.queue("a.0", "RUNNING", "1")
    scene.run(20, A)
    scene.slurm.queue("a.0", "CANCELLED", "1")
    scene.slurm.silence("sacct")
    scene.run(13, A)
    found = scene.ask(A)["a.0"]
    assert (found.failure_class, found.provisional) == ("permanent", False)
    assert found.detail.startswith("somebody cancelled Slurm's job 1")
