"""Who shrinks, who grows, and what it has to be worth."""

from dataclasses import replace

import pytest
from policy_kit import HOUR, NOW, Node, decide, expects, job, on, resized, runs, settle, snapshot, started, stopped

from orchestrator.scheduling.cluster import Constraints
from orchestrator.scheduling.decisions import Claim, Resize
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.spec.policy import Elastic, Order, Policy, Preemption
from orchestrator.spec.presets import preset


def elastic(**more) -> Policy:
    return Policy(order=Order(by="fifo"), backfill="skip", elastic=Elastic(**more))


LONG = expects(100 * HOUR)


# --- the width at the start


def test_alone_a_job_starts_as_wide_as_fits() -> None:
    assert started(decide(snapshot(job(1, 2, 6)), elastic())) == {"j-1": 6}
    assert started(decide(snapshot(job(1, 2, 16)), elastic())) == {"j-1": 8}
    assert started(decide(snapshot(job(1, 2, 16), nodes="ab"), elastic())) == {"j-1": 16}


def test_under_load_a_job_leaves_the_fewest_workers_of_all_others() -> None:
    waiting = [job(1, 2, 8), job(2, 3, 8)]
    assert started(decide(snapshot(*waiting), elastic())) == {"j-1": 5, "j-2": 3}
    assert started(decide(snapshot(*waiting), elastic(start="widest"))) == {"j-1": 8}


def test_without_elastic_widths_a_job_takes_what_fits_and_keeps_it() -> None:
    policy = Policy(order=Order(by="fifo"), backfill="skip")
    assert started(decide(snapshot(job(1, 2, 8), job(2, 3, 8)), policy)) == {"j-1": 8}
    assert not decide(snapshot(runs(job(1, 2, 8, estimate=LONG), a=4)), policy)


def test_a_run_on_the_only_node_that_it_accepts_does_not_grow_while_that_is_drained() -> None:
    wants = runs(job(1, 2, 8, estimate=LONG), a=4)
    wants = replace(wants, job=replace(wants.job, demand=replace(wants.job.demand, constraints=Constraints(("x",)))))
    nodes = (Node("a", 8, "x", state="drained"), Node("b", 8, "y"))
    assert not resized(decide(replace(snapshot(wants), nodes=nodes), elastic()))


def test_the_clusters_limit_holds_for_starts_and_growth() -> None:
    assert started(decide(snapshot(job(1, 2, 8), max_workers=5), elastic())) == {"j-1": 5}
    grown = decide(snapshot(runs(job(1, 2, 8, estimate=LONG), a=4), max_workers=5), elastic())
    assert resized(grown) == {"j-1": 5}


# --- shrink


def test_a_running_job_shrinks_as_far_as_a_waiting_one_needs() -> None:
    found = snapshot(job(9, 3, 8), runs(job(1, 2, 8), a=8))
    decisions = decide(found, elastic())
    assert decisions.resizes == (Resize("j-1", on(a=5), "j-9", "room for j-9"),)
    assert decisions.claims == (Claim("j-9", on(a=3)),)
    after, _ = settle(found, elastic())
    assert {run.job.id: run.workers for run in after.running} == {"j-1": 5, "j-9": 3}


def test_nobody_shrinks_below_its_fewest() -> None:
    assert not decide(snapshot(job(9, 7), runs(job(1, 2, 8), a=8)), elastic())


def test_who_loses_the_smallest_part_of_its_speed_shrinks() -> None:
    # linear: 2 of 8 workers are a quarter of one job's speed, a half of the other's
    large, small = runs(job(1, 2, 12), a=8), runs(job(2, 2, 4), a=4)
    assert resized(decide(snapshot(job(9, 2), large, small, slots=12), elastic())) == {"j-1": 6}
    # k ** 0.5: the same two workers are 13 % and 29 %
    roots = [replace(run, job=replace(run.job, exponent=0.5)) for run in (large, small)]
    assert resized(decide(snapshot(job(9, 2), *roots, slots=12), elastic())) == {"j-1": 6}


def test_shrinks_come_before_stops() -> None:
    policy = Policy(order=Order(by="priority"), backfill="skip", elastic=Elastic(), preemption=Preemption(min_run=0.0))
    found = snapshot(job(9, 2, priority=1), runs(job(1, 2, 6), a=6), runs(job(2, 2), a=2))
    assert resized(decide(found, policy)) == {"j-1": 4}
    found = snapshot(job(9, 5, priority=1), runs(job(1, 2, 6), a=6), runs(job(2, 2), a=2))
    assert stopped(decide(found, policy)) == ["j-1"]


def test_a_width_is_kept_for_a_while() -> None:
    found = snapshot(job(9, 3), runs(job(1, 2, 8), NOW - 60, a=8))
    assert decide(found, elastic(between=100.0)).wake == NOW + 40
    assert resized(decide(replace(found, now=NOW + 40), elastic(between=100.0))) == {"j-1": 5}


def test_a_width_that_a_person_chose_is_left_alone() -> None:
    assert not decide(snapshot(job(9, 3), runs(job(1, 2, 8), pinned=True, a=8)), elastic())
    assert not decide(snapshot(runs(job(1, 2, 8, estimate=LONG), pinned=True, a=4)), elastic())


def test_shrinks_for_earlier_jobs_only() -> None:
    policy = Policy(order=Order(by="shortest"), backfill="skip", elastic=Elastic(shrink="earlier"))
    running = replace(runs(job(1, 2, 8, estimate=expects(HOUR)), NOW, a=8), resized=0.0)
    assert not decide(snapshot(job(9, 2, estimate=expects(2 * HOUR)), running), policy)
    assert resized(decide(snapshot(job(9, 2, estimate=expects(HOUR / 2)), running), policy)) == {"j-1": 6}


def test_a_gang_on_several_nodes_gives_up_whole_nodes() -> None:
    found = snapshot(job(9, 4), runs(job(1, 4, 16), a=8, b=8), nodes="ab")
    assert resized(decide(found, elastic())) == {"j-1": 8}
    found = snapshot(job(9, 16), runs(job(1, 8, 24), a=8, b=8, c=8), nodes="abc")
    decisions = decide(found, elastic())
    assert resized(decisions) == {"j-1": 8}
    assert len(decisions.claims[0].placement) == 2


# --- growth


def test_what_is_idle_goes_to_whom_it_makes_faster_by_most() -> None:
    # a worker more is 1/4 of the full speed of the one, 1/8 of that of the other
    running = [runs(job(1, 1, 8, estimate=LONG), a=2), runs(job(2, 1, 4, estimate=LONG), a=2)]
    assert resized(decide(snapshot(*running, slots=6), elastic())) == {"j-2": 4}
    assert resized(decide(snapshot(*running, slots=8), elastic())) == {"j-1": 4, "j-2": 4}


def test_with_a_sublinear_speed_up_the_gain_falls_as_a_job_grows() -> None:
    # (k / 8) ** 0.5: from 2 to 3 gains 0.112, 3 to 4 0.095, 4 to 5 0.083, 5 to 6 0.075
    running = [runs(job(n, 1, 8, estimate=LONG, exponent=0.5), a=2) for n in (1, 2)]
    assert resized(decide(snapshot(*running), elastic())) == {"j-1": 4, "j-2": 4}


@pytest.mark.parametrize(("left", "grows"), [(119, False), (121, True)])
def test_a_growth_has_to_save_its_price_and_as_much_again(left: float, grows: bool) -> None:
    # from 4 to 8 of 8 workers: twice `left` becomes `left`, less 60 s of price; pays_within 1: at least 60 s remain
    running = runs(job(1, 2, 8, estimate=expects(1000 + left), worked=1000.0), NOW, a=4)
    running = replace(running, resized=0.0)
    assert bool(decide(snapshot(running), elastic(price=60.0))) is grows


def test_without_an_estimate_a_job_is_expected_to_need_as_long_again() -> None:
    short = replace(runs(job(1, 2, 8, worked=40.0), NOW, a=4), resized=0.0)
    assert not decide(snapshot(short), elastic(price=30.0))
    long = replace(runs(job(1, 2, 8, worked=100.0), NOW, a=4), resized=0.0)
    assert resized(decide(snapshot(long), elastic(price=30.0))) == {"j-1": 8}


def test_growth_waits_for_the_round() -> None:
    policy = elastic(between=0.0).model_copy(update={"round": 300.0})
    found = snapshot(runs(job(1, 2, 8, estimate=LONG), NOW - 100, a=4))
    assert decide(found, policy).wake == NOW + 200
    assert resized(decide(replace(found, now=NOW + 200), policy)) == {"j-1": 8}


def test_a_gang_grows_on_its_node_and_then_by_nodes_of_its_own() -> None:
    running = runs(job(1, 2, 16, estimate=LONG), a=4)
    assert resized(decide(snapshot(running, nodes="ab"), elastic())) == {"j-1": 16}
    other = runs(job(2, 1), b=1)
    assert resized(decide(snapshot(running, other, nodes="ab"), elastic()))["j-1"] in (8, 15)


def test_nobody_grows_into_what_is_claimed_or_what_a_waiting_job_can_use() -> None:
    running = runs(job(1, 2, 8, estimate=LONG), a=4)
    assert not decide(snapshot(job(9, 4, claim=on(a=4), held=True), running), elastic()).starts
    assert started(decide(snapshot(job(9, 4), running), elastic())) == {"j-9": 4}


def test_shrink_then_grow_come_to_rest() -> None:
    running = [runs(job(n, 2, 8, estimate=LONG), **{node: 8}) for n, node in ((1, "a"), (2, "b"))]
    waiting = [job(n, 1, 4, estimate=LONG) for n in range(3, 9)]
    after, made = settle(snapshot(*running, *waiting, nodes="ab"), elastic())
    assert len(after.running) == 8
    assert len(made) <= 3
    assert sum(run.slots for run in after.running) == 16


FLOORED = Policy(order=Order(by="fifo", overdue=HOUR), backfill="easy", elastic=Elastic(start="widest", floor=0.5))


def fresh(number: int, fewest: int, most: int) -> Job:
    return job(number, fewest, most, submitted=NOW - 60, waits_since=NOW - 60)


@pytest.mark.parametrize("name", ["default", "elastic"])
def test_a_job_gets_the_whole_cluster_where_that_is_less_than_its_floor(name: str) -> None:
    assert started(decide(snapshot(fresh(1, 1, 32)), preset(name))) == {"j-1": 8}


def test_a_floor_asks_for_no_more_than_the_nodes_that_are_up_hold() -> None:
    nodes = (Node("a", 8), Node("b", 8, state="drained"), Node("c", 8, state="drained"))
    assert started(decide(Snapshot(NOW, nodes, (fresh(1, 4, 24),)), FLOORED)) == {"j-1": 8}


def test_who_is_overdue_starts_with_its_own_fewest_whatever_the_floor_is() -> None:
    busy = runs(job(1, 5), a=5)
    assert not started(decide(snapshot(fresh(2, 1, 8), busy), FLOORED))
    assert started(decide(snapshot(job(2, 1, 8), busy), FLOORED)) == {"j-2": 3}


@pytest.mark.parametrize("backfill", ["easy", "conservative"])
def test_what_is_reserved_is_as_wide_as_what_starts(backfill: str) -> None:
    """Four of eight slots: not in 100 s, when two are free, but in 200 s: 150 s on the free one hurt nobody."""
    policy = FLOORED.model_copy(update={"backfill": backfill, "elastic": Elastic(floor=0.5, shrink="never")})
    busy = [runs(job(n, w, limit=NOW + after), a=w) for n, w, after in ((1, 1, 100.0), (2, 6, 200.0))]
    passing = job(4, 1, submitted=NOW - 50, waits_since=NOW - 50, limit=150.0)
    assert started(decide(snapshot(fresh(3, 1, 8), passing, *busy), policy)) == {"j-4": 1}
