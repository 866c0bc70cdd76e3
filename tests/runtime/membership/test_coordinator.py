"""What the coordinator answers: views, starts and ends, one rule a test."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.rundir.membership import Member, View
from orchestrator.runtime.membership import events as e
from orchestrator.runtime.membership.coordinator import Coordinator


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


def test_a_members_failure_ends_the_run_with_its_own_words(runs: Any) -> None:
    run = runs.running(2)
    run.tell(e.WorkerDone(1, "failed", "the loss is no number", "application"))
    assert run.last(e.EndRun) == e.EndRun("failed", "the loss is no number", "application")


def test_a_joiners_failure_does_not_end_the_run(runs: Any) -> None:
    run = runs.running(2, replacements=0)
    run.tell(e.Wanted(3))
    run.done(2, "failed", "no such dataset on this machine")
    run.wait(5)
    assert run.last(e.EndRun) is None
    assert run.numbers == (0, 1)


def test_the_run_succeeds_when_every_member_has(runs: Any) -> None:
    run = runs.running(3)
    for number in (1, 2, 0):
        assert run.last(e.EndRun) is None
        run.done(number, "succeeded")
    assert run.last(e.EndRun).outcome == "succeeded"
    assert len(run.views) == 1


def test_a_member_lost_when_the_others_are_through_costs_nothing(runs: Any) -> None:
    run = runs.running(2)
    run.done(0, "succeeded")
    run.die(1)
    assert run.last(e.EndRun).outcome == "succeeded"


def test_without_the_leaders_word_the_work_is_not_done(runs: Any) -> None:
    run = runs.running(2)
    run.done(1, "succeeded")
    run.die(0)
    assert run.last(e.EndRun).outcome == "failed"


def test_when_told_to_stop_nobody_is_replaced_and_the_run_ends_as_stopped(runs: Any) -> None:
    run = runs.running(3)
    run.tell(e.Stopping())
    run.die(0)
    assert run.started == [0, 1, 2]
    assert run.numbers == (1, 2), "they finish their checkpoint without it"
    run.done(1, "stopped")
    run.done(2, "stopped")
    assert run.last(e.EndRun).outcome == "stopped"


def test_who_waits_for_a_view_is_released_when_the_run_stops(runs: Any) -> None:
    run = runs.fresh(e.Policy(wanted=2), 2)
    run.warm(0)
    run.tell(e.Stopping())
    assert run.last(e.ReleaseWorker) == e.ReleaseWorker(0)
    run.done(0, "left")
    run.die(1)
    assert run.last(e.EndRun).outcome == "stopped"


def test_joiners_who_are_not_wanted_any_more_go(runs: Any) -> None:
    run = runs.running(2)
    run.tell(e.Wanted(4))
    run.tell(e.Wanted(2))
    assert sorted(run.live) == [0, 1]
    assert run.last(e.EndRun) is None


def test_an_agents_death_takes_its_workers_along(runs: Any) -> None:
    run = runs.running(3, 1, 2)
    run.tell(e.AgentGone(1, certain=True))
    assert run.numbers == (0,)
    assert run.view.lost == (1000, 1001)


def test_the_greater_part_of_a_partition_goes_on(runs: Any) -> None:
    run = runs.running(3, 2, 1)
    run.tell(e.AgentGone(1, certain=False))
    assert run.numbers == (0, 1)


def test_the_smaller_part_of_a_partition_stands_down(runs: Any) -> None:
    run = runs.running(3, 1, 2, settle_within=3.0)
    run.tell(e.AgentGone(1, certain=False))
    for number in (1000, 1001):
        run.live.pop(number)
    run.wait(2)
    assert len(run.views) == 1
    run.wait(2)
    assert run.last(e.StandDown) is not None
    assert run.last(e.EndRun) is None


@pytest.mark.parametrize(("gone", "goes_on"), [(1, True), (0, False)])
def test_half_of_the_members_go_on_only_with_the_first(runs: Any, gone: int, goes_on: bool) -> None:
    run = runs.running(4, 2, 2)
    run.tell(e.AgentGone(gone, certain=False))
    assert (len(run.views) == 2) is goes_on


def test_three_of_four_workers_killed_at_once_leave_one_that_goes_on(runs: Any) -> None:
    run = runs.running(4)
    for number in (0, 1, 2):
        run.die(number)
    assert run.numbers == (3,)


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


def last_view(*numbers: int) -> View:
    return View(7, tuple(Member(n, "127.0.0.1", 5000 + n, 10 + n) for n in numbers))


def test_a_coordinator_that_takes_over_changes_nothing_where_nobody_is_lost() -> None:
    said = hears_of(e.AgentJoined(1, 1, 1001, (1000,)), e.AgentJoined(2, 1, 2001, (2000,)), last=last_view(1000, 2000))
    assert [i for i in said if isinstance(i, e.Publish)] == []


def test_a_coordinator_that_takes_over_makes_the_view_without_those_who_are_gone() -> None:
    events: list[e.Event] = [
        e.AgentGone(0, certain=True),
        e.AgentJoined(1, 1, 1001, (1000,)),
        e.AgentJoined(2, 1, 2001, (2000,)),
    ]
    said = hears_of(*events, last=last_view(0, 1000, 2000))
    views = [i.view for i in said if isinstance(i, e.Publish)]
    assert [(view.epoch, view.numbers, view.lost) for view in views] == [(8, (1000, 2000), (0,))]


def test_a_coordinator_that_takes_over_waits_a_moment_for_those_it_has_not_heard_of() -> None:
    coordinator = Coordinator(e.Policy(wanted=3, settle_within=3.0), last=last_view(0, 1000, 2000))
    said = [*coordinator.handle(e.AgentJoined(1, 1, 1001, (1000,)), 0.0)]
    said += coordinator.handle(e.AgentJoined(2, 1, 2001, (2000,)), 0.5)
    assert said == []
    for tick in range(1, 8):
        said += coordinator.handle(e.Tick(), 0.5 + 0.5 * tick)
    assert [i.view.numbers for i in said if isinstance(i, e.Publish)] == [(1000, 2000)]


def test_what_ended_before_a_take_over_is_told_again_and_counts() -> None:
    events: list[e.Event] = [
        e.WorkerDone(1000, "succeeded"),
        e.AgentJoined(1, 1, 1001),
        e.WorkerDone(0, "succeeded"),
        e.AgentJoined(0, 1, 1),
    ]
    said = hears_of(*events, last=last_view(0, 1000))
    assert [i.outcome for i in said if isinstance(i, e.EndRun)] == ["succeeded"]


def hears_of(*events: e.Event, last: View) -> list[e.Instruction]:
    coordinator = Coordinator(e.Policy(wanted=len(last.members)), last=last)
    return [instruction for event in events for instruction in coordinator.handle(event, 0.0)]
