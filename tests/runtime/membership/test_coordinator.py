"""What the coordinator answers: views, starts and losses, one rule a test."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.runtime.membership import events as e


def test_the_first_view_waits_for_all_wanted_workers(runs: Any) -> None:
    run = runs.fresh(e.Policy(wanted=3), 4)
    assert run.started == [0, 1, 2]
    run.warm(0, 1)
    assert run.views == []
    run.warm(2)
    assert run.numbers == (0, 1, 2)
    assert (run.view.epoch, run.view.cause) == (1, "start")


def test_the_first_view_comes_without_those_who_are_late(runs: Any) -> None:
    run = runs.fresh(e.Policy(wanted=3, minimum=2, start_within=60), 4)
    run.warm(0, 2)
    run.wait(59)
    assert run.views == []
    run.wait(2)
    assert run.numbers == (0, 2)


def test_the_first_view_waits_only_for_those_that_were_launched_where_more_come_with_other_allocations(
    runs: Any,
) -> None:
    run = runs.fresh(e.Policy(wanted=4, first=2), 2)
    run.warm(0, 1)
    assert run.numbers == (0, 1)
    run.take()
    run.join(100, 2)
    run.warm(100_000, 100_001)
    assert run.numbers == (0, 1, 100_000, 100_001)


def test_the_first_view_never_has_fewer_than_the_minimum(runs: Any) -> None:
    run = runs.fresh(e.Policy(wanted=3, minimum=2, start_within=60), 4)
    run.warm(0)
    run.wait(200)
    assert run.views == []


def test_a_wish_for_more_starts_workers_who_join_once_they_are_warm(runs: Any) -> None:
    run = runs.running(2)
    run.tell(e.Wanted(4))
    assert run.started == [0, 1, 2, 3]
    assert len(run.views) == 1
    run.warm(2)
    assert len(run.views) == 1, "the other one is waited for"
    run.warm(3)
    assert run.numbers == (0, 1, 2, 3)
    assert run.view.cause == "resize"


def test_a_joiner_is_not_kept_waiting_for_another_one_for_long(runs: Any) -> None:
    run = runs.running(2, join_within=2.0)
    run.tell(e.Wanted(4))
    run.warm(3)
    run.wait(2.5)
    assert run.numbers == (0, 1, 3)


def test_a_wish_for_fewer_lets_the_highest_numbers_leave(runs: Any) -> None:
    run = runs.running(4)
    run.tell(e.Wanted(2))
    assert run.numbers == (0, 1)
    assert run.view.leaving == (2, 3)
    assert run.view.cause == "resize"


def test_a_planned_view_waits_until_all_have_taken_the_one_before(runs: Any) -> None:
    run = runs.running(4)
    run.tell(e.Wanted(3))
    run.tell(e.Wanted(2))
    assert len(run.views) == 2
    run.take()
    assert run.numbers == (0, 1)


def test_a_lost_member_is_followed_by_a_view_at_once_and_replaced(runs: Any) -> None:
    run = runs.running(3)
    run.die(1)
    assert run.numbers == (0, 2)
    assert (run.view.lost, run.view.cause) == ((1,), "lost")
    assert run.started[-1] == 3, "a number is never used again"
    run.take()
    run.warm(3)
    assert run.numbers == (0, 2, 3)
    assert run.view.cause == "joined"


def test_the_first_member_may_be_lost(runs: Any) -> None:
    run = runs.running(3)
    run.die(0)
    assert run.numbers == (1, 2)


def test_a_loss_does_not_wait_for_a_view_that_is_being_formed(runs: Any) -> None:
    run = runs.running(4)
    run.tell(e.Wanted(3))
    run.die(1)
    assert run.numbers == (0, 2)
    assert run.view.leaving == (3,), "it lives, and may hold what others need"


def test_present_members_stay_before_new_ones_of_lower_numbers(runs: Any) -> None:
    run = runs.fresh(e.Policy(wanted=2), 0, 2)
    run.warm(1000, 1001)
    run.take()
    run.tell(e.AgentRoom(0, 2))
    run.tell(e.Wanted(3))
    run.warm(0)
    run.take()
    assert run.numbers == (0, 1000, 1001)
    run.tell(e.Wanted(2))
    assert run.numbers == (0, 1000)


def test_an_agent_without_room_for_its_workers_sees_them_leave_in_good_order(runs: Any) -> None:
    run = runs.fresh(e.Policy(wanted=3), 1, 2)
    run.warm(0, 1000, 1001)
    run.take()
    run.tell(e.AgentRoom(1, 0))
    assert run.numbers == (0,)
    assert run.view.leaving == (1000, 1001)


def test_an_allocation_that_is_told_to_go_leaves_where_enough_others_stay(runs: Any) -> None:
    run = runs.running(3, 1, 2, minimum=2)
    run.tell(e.AgentLeaves(0, "preempt", 20.0))
    assert (run.numbers, run.view.leaving) == ((1000, 1001), (0,))
    assert run.last(e.StopWorkers) is None


def test_allocations_that_are_told_to_go_at_once_stop_the_run_when_too_few_would_stay(runs: Any) -> None:
    run = runs.running(3, 1, 1, 1)
    run.tell(e.AgentLeaves(0, "drain", 30.0))
    run.tell(e.AgentLeaves(1, "preempt", 20.0))
    assert run.last(e.StopWorkers) is None
    run.tell(e.AgentLeaves(2, "preempt", 25.0))
    assert run.last(e.StopWorkers) == e.StopWorkers("preempt", 20.0)
    for number in (1000, 2000):
        run.done(number, "stopped")
    assert run.last(e.EndRun).outcome == "stopped"


@pytest.mark.parametrize(("cause", "told"), [("taken", "taken"), ("drain", "left")])
def test_a_view_tells_whether_those_that_leave_were_taken_back(runs: Any, cause: str, told: str) -> None:
    run = runs.running(3, 1, 1, 1)
    run.tell(e.AgentLeaves(2, cause, 30.0))
    assert run.numbers == (0, 1000)
    assert run.view.cause == told


def test_a_run_whose_time_is_over_stops_though_enough_others_stay(runs: Any) -> None:
    run = runs.running(3, 1, 2, minimum=2)
    run.tell(e.AgentLeaves(0, "time_limit", 20.0))
    assert run.last(e.StopWorkers) == e.StopWorkers("time_limit", 20.0)


def test_a_worker_that_is_not_warm_yet_takes_over_from_nobody(runs: Any) -> None:
    run = runs.running(2, 1, 1)
    run.die(0)
    assert run.started[-1] == 1
    run.tell(e.AgentLeaves(1, "preempt", 20.0))
    assert run.last(e.StopWorkers) is not None, "1000 alone holds the state"


def test_below_the_minimum_the_run_waits_for_replacements(runs: Any) -> None:
    run = runs.running(3, minimum=3)
    run.die(2)
    assert len(run.views) == 1
    run.warm(3)
    assert run.numbers == (0, 1, 3)
    assert run.view.lost == (2,)


def test_below_the_minimum_for_too_long_the_run_ends(runs: Any) -> None:
    run = runs.running(3, 3, minimum=3, minimum_within=60.0)
    run.die(2)
    run.wait(61)
    end = run.last(e.EndRun)
    assert (end.outcome, end.failure_class) == ("failed", "infrastructure")
    assert "at least 3 are needed" in end.message


def test_replacements_are_bounded_and_then_the_run_goes_on_smaller(runs: Any) -> None:
    run = runs.running(4, replacements=1)
    for number in (0, 1):
        run.die(number)
        run.take()
    assert run.started == [0, 1, 2, 3, 4]
    run.warm(4)
    assert run.numbers == (2, 3, 4)


def test_without_replacements_a_run_below_its_minimum_ends_at_once(runs: Any) -> None:
    run = runs.running(2, minimum=2, replacements=0)
    run.die(1, "out_of_memory")
    end = run.last(e.EndRun)
    assert (end.outcome, end.failure_class) == ("failed", "out_of_memory")


def test_a_new_wish_allows_replacements_anew(runs: Any) -> None:
    run = runs.running(3, replacements=0)
    run.die(2)
    run.take()
    run.tell(e.Wanted(4))
    assert run.started == [0, 1, 2, 3, 4]


def test_an_agent_that_was_given_up_and_comes_back_is_told_to_end_its_workers(runs: Any) -> None:
    run = runs.running(3, 2, 1)
    run.tell(e.AgentGone(1, certain=False))
    run.tell(e.AgentJoined(1, 1, 1001, (1000,)))
    assert e.EndWorker(1000, "was given up") in run.said


def test_a_start_that_was_lost_on_the_way_is_ordered_again(runs: Any) -> None:
    run = runs.fresh(e.Policy(wanted=2), 0, 2)
    assert run.started == [1000, 1001]
    run.tell(e.AgentJoined(1, 2, 1001, (1000,)))
    assert run.started == [1000, 1001, 1001]
