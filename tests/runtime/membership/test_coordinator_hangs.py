"""Who is silent, hangs or breaks a group: what the coordinator does about it, one rule a test."""

from __future__ import annotations

from typing import Any

from orchestrator.runtime.membership import events as e


def test_a_silent_worker_is_ended_and_the_others_go_on(runs: Any) -> None:
    run = runs.running(3, lost_after=5.0)
    run.silent.add(1)
    run.wait(4.9)
    assert run.numbers == (0, 1, 2)
    run.wait(0.5)
    assert run.numbers == (0, 2)
    assert run.last(e.EndWorker).number == 1


def test_a_worker_that_says_nothing_and_computes_is_alive(runs: Any) -> None:
    run = runs.running(3, lost_after=5.0)
    run.silent.add(1)
    for _ in range(20):
        run.wait(1.0)
        run.tell(e.WorkerRuns(1))
    assert run.numbers == (0, 1, 2)
    run.wait(5.5)
    assert run.numbers == (0, 2)


def test_a_worker_whose_connection_broke_may_come_back(runs: Any) -> None:
    run = runs.running(3, cut_within=1.0)
    run.tell(e.WorkerCut(1))
    run.wait(3)
    assert run.numbers == (0, 1, 2)


def test_a_worker_whose_connection_stays_broken_is_ended(runs: Any) -> None:
    run = runs.running(3, cut_within=1.0)
    run.silent.add(1)
    run.tell(e.WorkerCut(1))
    run.wait(1.5)
    assert run.numbers == (0, 2)


def test_nobody_was_silent_while_the_coordinator_itself_slept(runs: Any) -> None:
    run = runs.running(3, lost_after=5.0)
    run.now += 3600
    run.tell(e.Tick())
    assert run.numbers == (0, 1, 2)
    assert run.last(e.EndWorker) is None


def test_a_worker_that_never_gets_warm_is_ended_and_replaced(runs: Any) -> None:
    run = runs.fresh(e.Policy(wanted=2, warm_within=30.0), 2)
    run.warm(0)
    run.wait(31)
    assert run.last(e.EndWorker).number == 1
    assert run.started == [0, 1, 2]


def test_who_computes_while_the_others_wait_too_long_is_ended(runs: Any) -> None:
    run = runs.running(3, hang_after=60.0)
    run.places = {0: (7, "collective"), 1: (7, "compute"), 2: (7, "collective")}
    run.wait(61)
    assert run.last(e.EndWorker) == e.EndWorker(1, "held up the others")
    assert run.numbers == (0, 2)


def test_where_nothing_tells_who_hangs_the_run_ends(runs: Any) -> None:
    run = runs.running(3, hang_after=60.0)
    run.wait(61)
    end = run.last(e.EndRun)
    assert (end.outcome, end.failure_class) == ("failed", "infrastructure")


def test_what_has_no_deadline_hangs_nobody(runs: Any) -> None:
    run = runs.running(2, hang_after=60.0)
    run.places = {0: (7, "idle"), 1: (7, "collective")}
    run.wait(200)
    assert run.last(e.EndRun) is None
    assert run.last(e.EndWorker) is None


def test_who_does_not_come_to_the_next_view_while_the_others_wait_there_is_ended(runs: Any) -> None:
    run = runs.running(4, hang_after=60.0, replacements=0)
    run.places = dict.fromkeys((0, 1), (7, "idle")) | {2: (7, "compute")}
    run.die(3)
    for number in (0, 1):
        run.live[number] = 2
    run.wait(59)
    assert run.last(e.EndWorker) is None
    run.wait(2)
    assert run.last(e.EndWorker).number == 2
    assert run.numbers == (0, 1)


def test_a_break_waits_for_those_who_are_still_on_their_way(runs: Any) -> None:
    run = runs.running(3, broken_within=1.0, replacements=0)
    run.places = {0: (7, "idle"), 1: (7, "compute")}
    run.die(2)
    run.live[0] = 2
    run.wait(1)
    run.tell(e.WorkerBroken(0, 2, "the others did not come"))
    run.wait(30)
    assert run.view.epoch == 2
    run.take()
    run.wait(0.5)
    assert (run.view.epoch, run.view.cause) == (3, "broken")


def test_slow_steps_are_given_ten_times_their_median(runs: Any) -> None:
    run = runs.running(2, hang_after=10.0)
    for step in range(1, 5):
        run.places = {0: (step, "collective"), 1: (step, "compute")}
        run.wait(5)
    run.wait(40)
    assert run.last(e.EndWorker) is None
    run.wait(10)
    assert run.last(e.EndWorker).number == 1


def test_a_broken_group_without_a_death_is_formed_anew(runs: Any) -> None:
    run = runs.running(2, broken_within=1.0)
    run.tell(e.WorkerBroken(0, 1, "connection closed by peer"))
    assert len(run.views) == 1, "somebody's death may still become known"
    run.wait(1.25)
    assert (run.numbers, run.view.epoch, run.view.cause) == ((0, 1), 2, "broken")


def test_a_group_that_breaks_again_and_again_ends_the_run(runs: Any) -> None:
    run = runs.running(2, broken_within=1.0)
    for _ in range(4):
        run.take()
        run.tell(e.WorkerBroken(0, run.view.epoch, "no route to host"))
        run.wait(1.25)
    assert run.last(e.EndRun).failure_class == "infrastructure"


def test_a_break_of_an_older_view_is_old_news(runs: Any) -> None:
    run = runs.running(3)
    run.die(2)
    run.tell(e.WorkerBroken(0, 1, "connection closed by peer"))
    run.wait(3)
    assert len(run.views) == 2
