"""How a run ends, and who goes on after a partition or a take-over, one rule a test."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.rundir.membership import Member, View
from orchestrator.runtime.membership import events as e
from orchestrator.runtime.membership.coordinator import Coordinator


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


def fixed_gang(runs: Any, **rules: Any) -> Any:
    return runs.running(3, 2, 1, minimum=3, minimum_within=600.0, lost_after=5.0, settle_within=3.0, **rules)


def test_a_gang_that_nobody_can_join_ends_soon_after_it_has_lost_an_agent(runs: Any) -> None:
    run = fixed_gang(runs, joined_above=None)
    run.tell(e.AgentGone(1, certain=True))
    run.wait(7)
    assert run.last(e.EndRun) is None
    run.wait(2)
    end = run.last(e.EndRun)
    assert (end.outcome, end.failure_class) == ("failed", "infrastructure")
    assert "agent 1 is gone" in end.message


def test_a_gang_that_nobody_can_join_waits_for_a_worker_that_is_started_again(runs: Any) -> None:
    run = fixed_gang(runs, joined_above=None)
    run.die(1000)
    run.wait(60)
    run.warm(1001)
    assert run.numbers == (0, 1, 1001)


def test_a_gang_that_loses_an_agent_before_it_has_begun_ends_as_soon(runs: Any) -> None:
    run = runs.fresh(e.Policy(wanted=3, minimum=3, joined_above=None), 2, 1)
    run.tell(e.AgentGone(1, certain=True))
    run.wait(9)
    assert run.last(e.EndRun).failure_class == "infrastructure"


def test_agents_of_a_gang_may_come_one_after_the_other(runs: Any) -> None:
    run = runs.fresh(e.Policy(wanted=3, minimum=3, joined_above=None), 2)
    run.wait(60)
    run.join(1, 1)
    run.warm(*run.started)
    assert run.numbers == (0, 1, 1000)


@pytest.mark.parametrize(("wanted", "goes_on"), [(3, False), (4, True)])
def test_others_come_only_where_more_than_the_fewest_are_wanted(runs: Any, wanted: int, goes_on: bool) -> None:
    run = fixed_gang(runs, joined_above=3)
    run.tell(e.Wanted(wanted))
    run.tell(e.AgentGone(1, certain=True))
    run.wait(60)
    assert (run.last(e.EndRun) is None) is goes_on


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


def test_a_coordinator_that_leaves_itself_stops_nobody_before_it_has_heard_the_agents_of_those_who_stay() -> None:
    """The one before it was told to leave at the same time: of the others it knows the workers first."""
    coordinator = Coordinator(e.Policy(wanted=2, minimum=2), last=last_view(1000, 2000, 3000))
    heard: list[e.Event] = [
        e.AgentJoined(1, 1, 1001, (1000,)),
        e.AgentLeaves(1, "resize", 5.0),
        *(e.WorkerBeat(number, 3, "collective", 7) for number in (1000, 2000, 3000)),
        *(e.AgentJoined(agent, 1, agent * 1000 + 1, (agent * 1000,)) for agent in (2, 3)),
    ]
    said = [instruction for event in heard for instruction in coordinator.handle(event, 0.0)]
    assert not any(isinstance(one, e.StopWorkers) for one in said)
    assert [one.view.numbers for one in said if isinstance(one, e.Publish)] == [(2000, 3000)]
