"""What is looked up first since that is quick never says of something that fits that it does not."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import NOW, budget, demand, node, occupy

from orchestrator.scheduling.cluster import Demand, Node, Share
from orchestrator.scheduling.deltas import Gone, Pends
from orchestrator.scheduling.expected import expected_end, expected_end_with
from orchestrator.scheduling.fold import decide
from orchestrator.scheduling.jobs import Estimate, Job, Running
from orchestrator.scheduling.room import Room
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.scheduling.teams import Team
from orchestrator.spec.policy import Order, Policy

EASY = Policy(order=Order(by="fifo"), backfill="easy")


@budget(150)
@given(st.randoms(use_true_random=False))
def test_where_a_gang_fits_it_might_start_with_any_width_from_there_down(random: Random) -> None:
    room = Room([node(random, f"n{number}") for number in range(random.randint(1, 6))])
    for number in range(random.randrange(6)):
        occupy(random, room, number)
    asked = replace(demand(random, elastic=True), packed=True)
    for workers in range(asked.workers_min, asked.workers_max + 1):
        if room.fit(asked, workers, NOW, NOW + 100) is not None:
            assert room.might_start(asked, workers)
            assert room.might(asked, workers)
            assert all(room.might_start_at_all(asked, fewest) for fewest in range(asked.workers_min, workers + 1))


@budget(50)
@given(st.integers(1, 8), st.integers(1, 8), st.floats(1, 5000), st.floats(0, 2), st.sampled_from([None, 50.0, 9e4]))
def test_the_end_of_a_wider_run_is_that_of_its_record(
    has: int, gets: int, seconds: float, error: float, limit: float | None
) -> None:
    job = Job("j", 1, NOW, Demand(1, 8), estimate=Estimate(seconds, error), limit=limit, exponent=0.8)
    run = Running(job, (Share("a", has),), NOW - 100, NOW - 90, NOW - 100)
    worked = replace(job, worked=run.worked(NOW))
    wider = replace(run, job=worked, placement=(Share("a", gets),), counted=NOW)
    assert expected_end_with(run, gets, NOW) == expected_end(wider, NOW)


def test_the_queue_is_not_walked_for_a_newcomer_when_only_short_jobs_passed_what_is_reserved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs = (_job(1, 2, 1000.0), _job(2, 4, 1000.0), _job(3, 1, 100.0))
    state = State.of(Snapshot(NOW, (Node("a", 4),), jobs))
    state.carry_out(first := state.decide(EASY, NOW), NOW)
    assert [start.job for start in first.starts] == ["j-1", "j-3"]
    state.apply(Pends(_job(4, 1, 100.0)), NOW + 1)
    plain = decide(state.snapshot(NOW + 1), EASY)
    monkeypatch.delattr("orchestrator.scheduling.state.walk")
    assert [start.job for start in plain.starts] == ["j-4"]
    assert state.decide(EASY, NOW + 1) == plain


def test_a_newcomer_does_not_take_what_is_left_of_a_limit_that_a_short_job_has_used_up() -> None:
    teams = (Team("x", limit=3),)
    jobs = (_job(1, 2, 1000.0), _job(2, 4, 1000.0), _job(3, 3, 1000.0, "x"), _job(4, 1, 100.0, "x"))
    state = State.of(Snapshot(NOW, (Node("a", 4),), jobs, teams=teams))
    state.carry_out(first := state.decide(EASY, NOW), NOW)
    assert [start.job for start in first.starts] == ["j-1", "j-4"]
    state.apply(Pends(_job(5, 1, 100.0, "x")), NOW + 1)
    assert state.decide(EASY, NOW + 1) == decide(state.snapshot(NOW + 1), EASY)
    assert not state.decide(EASY, NOW + 1).starts


def test_a_newcomer_that_has_become_overdue_goes_first() -> None:
    policy = Policy(order=Order(by="priority", overdue=50.0), backfill="none")
    state = State.of(Snapshot(NOW, (Node("a", 4),), (_job(1, 3, 1000.0), replace(_job(2, 4, 1000.0), priority=5))))
    state.carry_out(state.decide(policy, NOW), NOW)
    state.apply(Gone("j-2"), NOW + 1)
    state.carry_out(state.decide(policy, NOW + 1), NOW + 1)
    blocked = replace(_job(3, 4, 1000.0), submitted=NOW + 30, waits_since=NOW + 30, priority=5)
    state.apply(Pends(blocked), NOW + 30)
    state.decide(policy, NOW + 30)
    state.apply(Pends(replace(_job(4, 1, 100.0), submitted=NOW - 10, waits_since=NOW - 10)), NOW + 35)
    assert state.decide(policy, NOW + 45) == decide(state.snapshot(NOW + 45), policy)


def _job(number: int, workers: int, limit: float, team: str = "") -> Job:
    return Job(f"j-{number}", number, NOW, Demand(workers, workers), limit=limit, waits_since=NOW, team=team)
