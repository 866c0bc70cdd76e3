"""Whom a waiting job may have stopped, and who of them it is."""

from dataclasses import replace

import pytest
from policy_kit import HOUR, NOW, decide, expects, job, on, runs, settle, snapshot, started, stopped

from orchestrator.scheduling.decisions import Claim
from orchestrator.scheduling.teams import Team
from orchestrator.spec.policy import Order, Policy, Preemption


def by_priority(**more) -> Policy:
    return Policy(order=Order(by="priority"), backfill="skip", preemption=Preemption(**{"min_run": 0.0} | more))


def earlier(by: str, **more) -> Policy:
    given = {"min_run": 0.0, "for_whom": "earlier"} | more
    return Policy(order=Order(by=by, thresholds=[1000.0]), backfill="skip", preemption=Preemption(**given))


PRIORITY = by_priority()


def test_a_job_of_higher_priority_claims_what_is_freed_and_starts_there() -> None:
    found = snapshot(job(9, 6, priority=1), runs(job(1, 8), a=8))
    decisions = decide(found, PRIORITY)
    assert (stopped(decisions), decisions.starts) == (["j-1"], ())
    assert decisions.claims == (Claim("j-9", on(a=6)),)
    after, (_, second) = settle(found, PRIORITY)
    assert started(second) == {"j-9": 6}
    assert [one.id for one in after.pending] == ["j-1"]


def test_equal_or_higher_priority_is_never_stopped() -> None:
    assert not decide(snapshot(job(1, 8), runs(job(2, 8), a=8)), PRIORITY)
    assert not decide(snapshot(job(1, 8, priority=1), runs(job(2, 8, priority=2), a=8)), PRIORITY)


def test_who_aged_past_a_newcomer_is_not_stopped_by_it() -> None:
    policy = replace_order(PRIORITY, aging=HOUR)
    old = job(1, 8, submitted=NOW - 2 * HOUR)
    assert not decide(snapshot(job(2, 8, priority=1, submitted=NOW), runs(old, a=8)), policy)
    assert stopped(decide(snapshot(job(2, 8, priority=3, submitted=NOW), runs(old, a=8)), policy)) == ["j-1"]


def replace_order(policy: Policy, **more) -> Policy:
    return policy.model_copy(update={"order": policy.order.model_copy(update=more)})


def test_a_run_has_its_minimum_time_first_and_the_decision_says_when_to_ask_again() -> None:
    found = snapshot(job(9, 8, priority=1), runs(job(1, 8), NOW - 60, a=8))
    decisions = decide(found, by_priority(min_run=100.0))
    assert not decisions
    assert decisions.wake == NOW + 40
    assert stopped(decide(replace(found, now=NOW + 40), by_priority(min_run=100.0))) == ["j-1"]


def test_who_was_stopped_often_enough_is_immune() -> None:
    found = snapshot(job(9, 8, priority=1), runs(job(1, 8, preemptions=2), a=8))
    assert not decide(found, by_priority(immune_after=2))
    assert stopped(decide(found, by_priority(immune_after=3))) == ["j-1"]


def test_a_pinned_run_gives_way_to_higher_priority_alone() -> None:
    short, long = job(2, 8, estimate=expects(10)), runs(job(1, 8, estimate=expects(10**6)), pinned=True, a=8)
    assert not decide(snapshot(short, long), earlier("shortest"))
    assert stopped(decide(snapshot(replace(short, priority=1), long), earlier("shortest"))) == ["j-1"]


def test_what_came_back_from_a_preemption_stops_nobody() -> None:
    found = snapshot(job(9, 8, priority=1, preemptions=1, waits_since=NOW - 50), runs(job(1, 8), a=8))
    assert not decide(found, PRIORITY)
    assert not decide(found, by_priority(returned_after=100.0))
    assert decide(found, by_priority(returned_after=100.0)).wake == NOW + 50
    assert stopped(decide(found, by_priority(returned_after=50.0))) == ["j-1"]


# --- the victims


def test_the_victim_whose_stop_costs_least_is_taken() -> None:
    fresh = runs(job(1, 4), saved=NOW - 10, a=4)
    stale = runs(job(2, 4), saved=NOW - 1000, a=4)
    assert stopped(decide(snapshot(job(9, 4, priority=1), fresh, stale), PRIORITY)) == ["j-1"]


def test_of_equal_ones_the_last_in_the_order_is_taken() -> None:
    found = snapshot(job(9, 4, priority=3), runs(job(1, 4, priority=1), a=4), runs(job(2, 4, priority=2), a=4))
    assert stopped(decide(found, PRIORITY)) == ["j-1"]
    found = snapshot(job(9, 4, priority=1), runs(job(1, 4), a=4), runs(job(2, 4), a=4))
    assert stopped(decide(found, PRIORITY)) == ["j-2"]


def test_nobody_is_stopped_who_can_be_left_out() -> None:
    small = [runs(job(n, 1), a=1) for n in range(1, 5)]
    found = snapshot(job(9, 6, priority=1), *small, runs(job(5, 4), saved=0.0, a=4))
    # the small ones are cheaper and are asked first; four of them are not enough, and then two are too many
    victims = stopped(decide(found, PRIORITY))
    assert len(victims) == 3
    assert "j-5" in victims


def test_a_gang_of_one_node_gets_one_node() -> None:
    halves = [runs(job(n, 4), **{node: 4}) for n, node in enumerate("aabb", 1)]
    decisions = decide(snapshot(job(9, 8, priority=1), *halves, nodes="ab"), PRIORITY)
    assert stopped(decisions) == ["j-3", "j-4"]
    assert decisions.claims == (Claim("j-9", on(b=8)),)


def test_the_node_that_is_cheapest_to_clear_is_cleared() -> None:
    found = snapshot(job(9, 8, priority=1), runs(job(1, 8), a=8), runs(job(2, 2), b=2), nodes="ab")
    assert stopped(decide(found, PRIORITY)) == ["j-2"]


def test_a_gang_of_several_nodes_clears_whole_ones() -> None:
    busy = [runs(job(1, 8), a=8), runs(job(2, 8, priority=5), b=8), runs(job(3, 1), c=1), runs(job(4, 8), d=8)]
    decisions = decide(snapshot(job(9, 16, priority=1), *busy, nodes="abcd"), PRIORITY)
    assert decisions.claims == (Claim("j-9", on(c=8, d=8)),)
    assert stopped(decisions) == ["j-3", "j-4"]


def test_a_scattered_gang_takes_what_is_cheapest_wherever_it_lies() -> None:
    busy = [runs(job(n, 7), **{node: 7}) for n, node in enumerate("abc", 1)]
    decisions = decide(snapshot(job(9, 8, packed=False, priority=1), *busy, nodes="abc"), PRIORITY)
    assert len(stopped(decisions)) == 1


def test_nothing_is_freed_where_it_would_not_be_enough() -> None:
    found = snapshot(job(9, 8, priority=1), runs(job(1, 4), a=4), runs(job(2, 4, priority=1), a=4))
    assert not decide(found, PRIORITY)


def test_what_is_being_freed_already_is_taken_before_anybody_else_is_stopped() -> None:
    waiting = [job(8, 1, priority=2), job(9, 7, priority=1)]
    decisions = decide(snapshot(*waiting, runs(job(1, 8), a=8), runs(job(2, 8), b=8), nodes="ab"), PRIORITY)
    assert stopped(decisions) == ["j-2"]
    assert decisions.claims == (Claim("j-8", on(b=1)), Claim("j-9", on(b=7)))


# --- orders that share time


def test_srtf_stops_who_needs_longer_only_by_the_margin() -> None:
    found = snapshot(job(9, 8, estimate=expects(600)), runs(job(1, 8, estimate=expects(1000)), NOW, a=8))
    assert stopped(decide(found, earlier("shortest"))) == ["j-1"]
    assert not decide(found, earlier("shortest", margin=0.5))


def test_las_lets_a_newcomer_in_once_the_running_job_has_sunk() -> None:
    found = snapshot(job(9, 8), runs(job(1, 8), NOW, a=8))
    decisions = decide(found, earlier("attained"))
    assert not decisions
    assert decisions.wake == NOW + 125  # 1000 slot-seconds on 8 slots
    later, _ = settle(replace(found, now=NOW + 125), earlier("attained"))
    assert [run.job.id for run in later.running] == ["j-9"]
    assert [(one.id, one.attained) for one in later.pending] == [("j-1", 1000.0)]


@pytest.mark.parametrize("by", ["shortest", "attained"])
def test_nobody_goes_to_and_fro_at_one_instant(by: str) -> None:
    jobs = [job(n, 4, estimate=expects(10.0 * n), attained=500.0 * n) for n in range(1, 5)]
    busy = [runs(job(n, 4, estimate=expects(1000.0 * n), attained=1000.0 * n), NOW, a=4) for n in (5, 6)]
    after, made = settle(snapshot(*jobs, *busy), earlier(by, returned_after=0.0))
    assert len(made) == 2
    assert sorted(run.job.id for run in after.running) == ["j-1", "j-2"] if by == "shortest" else True
    names = [preempt.job for decisions in made for preempt in decisions.preempts]
    assert len(names) == len(set(names))


def test_who_gives_a_quota_back_has_its_minimum_time_once_more_for_each_time() -> None:
    policy = Policy(order=Order(by="fifo"), backfill="skip", preemption=Preemption(for_whom="quota", min_run=100.0))
    borrower = runs(job(1, 8, team="video", preemptions=2), NOW - 299, a=8)
    found = snapshot(job(9, 8, team="vision"), borrower, teams=(Team("vision", quota=8), Team("video")))
    decisions = decide(found, policy)
    assert (stopped(decisions), decisions.wake) == ([], NOW + 1)
    assert stopped(decide(replace(found, now=NOW + 1), policy)) == ["j-1"]


def test_who_saves_when_it_is_asked_to_stop_is_cheaper_than_who_loses_work() -> None:
    loses = runs(job(1, 4), NOW - 600, saved=0.0, a=4)
    saves = replace(runs(job(2, 4), NOW - 1200, saved=0.0, b=4), saves=True)
    late = replace(runs(job(3, 4), NOW - 1300, saved=0.0, c=4), saves=True)
    found = snapshot(job(9, 4, priority=1), loses, saves, late, slots=4, nodes="abc")
    assert stopped(decide(found, PRIORITY)) == ["j-2"], "the age of its checkpoint tells of two who save"
