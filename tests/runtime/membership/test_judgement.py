"""Judgements of a coordinator, one at a time: parts of a partition, who hangs, replacements."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from orchestrator.rundir.membership import Member, View
from orchestrator.runtime.membership import events as e
from orchestrator.runtime.membership.judgement import hung, may_go_on, step_deadline
from orchestrator.runtime.membership.protocol import Phase
from orchestrator.runtime.membership.roster import Fate, Worker


def view_of(size: int) -> View:
    return View(1, tuple(Member(number, "127.0.0.1", 1, 1) for number in range(size)))


@given(st.data(), st.integers(1, 9))
def test_never_do_both_parts_of_a_partition_go_on(data: st.DataObject, size: int) -> None:
    sides = data.draw(st.lists(st.sampled_from(["here", "there", "lost"]), min_size=size, max_size=size))
    dead: dict[int, Fate] = {n: "lost" for n, side in enumerate(sides) if side == "lost"}
    parts = [[n for n, side in enumerate(sides) if side == wanted] for wanted in ("here", "there")]
    if any(parts):
        missing: list[dict[int, Fate]] = [dict.fromkeys(part, "missing") for part in parts]
        here = may_go_on(view_of(size), parts[0], dead | missing[1])
        there = may_go_on(view_of(size), parts[1], dead | missing[0])
        assert here is not there


def worker(number: int, phase: Phase, moved: float) -> Worker:
    return Worker(number, "member", since=0.0, heard=0.0, moved=moved, phase=phase)


def test_who_is_only_slow_is_no_culprit() -> None:
    assert hung([worker(0, "collective", 0.0), worker(1, "compute", 50.0)], 100.0, 60.0) == ()


def test_all_who_are_waited_for_are_culprits() -> None:
    members = [worker(0, "compute", 0.0), worker(1, "collective", 10.0), worker(2, "compute", 0.0)]
    assert hung(members, 100.0, 60.0) == (0, 2)


def test_an_idle_member_keeps_its_others_from_being_judged_for_a_while_only() -> None:
    members = [worker(0, "collective", 0.0), worker(1, "idle", 0.0), worker(2, "collective", 10.0)]
    assert hung(members, 590.0, 60.0) == ()
    assert hung(members, 610.0, 60.0) == (1,)
    assert hung(members, 610.0, 900.0) == ()


def test_members_that_are_idle_for_long_while_others_work_hold_up_nobody() -> None:
    assert hung([worker(0, "idle", 0.0), worker(1, "compute", 600.0)], 610.0, 60.0) == ()
    assert hung([worker(0, "idle", 0.0), worker(1, "idle", 0.0)], 610.0, 60.0) is None


def test_a_single_worker_that_stands_still_cannot_be_told_from_the_run() -> None:
    assert hung([worker(0, "compute", 0.0)], 100.0, 60.0) is None


def test_a_few_long_steps_do_not_move_the_deadline() -> None:
    assert step_deadline(60.0, [1.0, 1.0, 500.0]) == 60.0
    assert step_deadline(60.0, [20.0, 20.0, 20.0]) == 200.0
    assert step_deadline(60.0, []) == 60.0


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(victims=st.lists(st.integers(0, 3), min_size=4, max_size=12), replacements=st.integers(0, 3))
def test_no_more_than_the_replacements_are_ever_started(runs: Any, victims: list[int], replacements: int) -> None:
    run = runs.running(4, replacements=replacements)
    for place in victims:
        if run.live and run.last(e.EndRun) is None:
            run.die(sorted(run.live)[place % len(run.live)])
            run.warm(*[n for n in run.live if n > 3])
            run.take()
    assert len(run.started) <= 4 + replacements
    assert bool(run.live) is (run.last(e.EndRun) is None)
