"""Windows of maintenance: who may still start before one, and who is asked to stop when it begins."""

import math
from dataclasses import replace

import pytest

from orchestrator.scheduling.cluster import Demand, Node, Share, Window
from orchestrator.scheduling.decisions import Preempt, Start
from orchestrator.scheduling.estimates.outlived import quantile
from orchestrator.scheduling.expected import FIRST_STEP
from orchestrator.scheduling.fold import decide
from orchestrator.scheduling.jobs import Estimate, Job, Running
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.upper_bound import upper_bound, upper_bound_end
from orchestrator.simulation.engine import simulate
from orchestrator.simulation.truth import Charges, TrueJob
from orchestrator.spec.policy import Elastic, Order, Policy, Preemption
from orchestrator.spec.presets import PRESETS, preset

NOW = 1000.0
HOUR = 3600.0
ONE_HOUR = Estimate(HOUR, 0.5)
UPPER = HOUR * math.exp(0.5 * 1.6448536269514722)  # 95 of 100 jobs are over after 2.28 h


def job(number: int, workers: int = 1, most: int | None = None, **told: object) -> Job:
    wants = Demand(workers, most or workers)
    return replace(Job(f"j-{number}", number, NOW, wants, waits_since=NOW), **told)  # type: ignore[arg-type]


def run(number: int, workers: int = 1, node: str = "a", **told: object) -> Running:
    its = job(number, workers, **told)  # type: ignore[arg-type]
    return Running(its, (Share(node, workers),), NOW - 500, NOW - 500, NOW - 500)


def machine(name: str, after: float, seconds: float = HOUR, slots: int = 8) -> Node:
    return Node(name, slots, windows=(Window(NOW + after, NOW + after + seconds, "new fans"),))


def started(node: Node, *waiting: Job, policy: Policy | None = None) -> list[str]:
    return [start.job for start in decide(Snapshot(NOW, (node,), waiting), policy or preset("fifo")).starts]


def test_a_time_limit_is_the_upper_bound_whatever_our_estimate_says() -> None:
    assert upper_bound(job(1, estimate=ONE_HOUR, limit=600.0, max_time=60.0), 1) == 600.0
    limited = run(1, estimate=ONE_HOUR, limit=600.0)
    assert upper_bound_end(limited, 1, NOW) == NOW + 100
    assert upper_bound_end(limited, 1, NOW + 900) == NOW + 900


def test_without_a_limit_it_is_what_95_of_100_such_jobs_stay_below() -> None:
    assert upper_bound(job(1, estimate=ONE_HOUR), 1) == pytest.approx(UPPER)
    assert upper_bound(job(1, estimate=Estimate(HOUR, 0.0)), 1) == HOUR
    assert math.isinf(upper_bound(job(1), 1))


def test_the_cluster_lets_no_run_take_longer() -> None:
    assert upper_bound(job(1, estimate=ONE_HOUR, max_time=2 * HOUR), 1) == 2 * HOUR
    assert upper_bound(job(1, max_time=2 * HOUR), 1) == 2 * HOUR
    assert upper_bound_end(run(1, estimate=ONE_HOUR, max_time=2 * HOUR), 1, NOW) == NOW - 500 + 2 * HOUR


def test_what_a_job_has_worked_counts() -> None:
    # half of such jobs are over after an hour; of the others 5 of 100 are left when 2.5 of 100 of all are: z = 1.96
    worked = job(1, estimate=ONE_HOUR, worked=HOUR)
    assert upper_bound(worked, 1) == pytest.approx(HOUR * math.exp(0.5 * 1.959963984540054) - HOUR)
    sure = job(1, estimate=Estimate(HOUR, 0.0), worked=HOUR)
    assert upper_bound(sure, 1) == FIRST_STEP


def test_a_run_goes_on_for_what_is_left_from_now_or_from_the_end_of_its_pause() -> None:
    going = run(1, estimate=ONE_HOUR)
    left = quantile(ONE_HOUR, 500.0, 0.95) - 500.0
    assert upper_bound_end(going, 1, NOW) == pytest.approx(NOW + left)
    paused = replace(going, job=replace(going.job, worked=500.0), counted=NOW + 30)
    assert upper_bound_end(paused, 1, NOW) == pytest.approx(NOW + 30 + left)


def test_far_beyond_every_expectation_what_is_left_is_as_good_as_exponential() -> None:
    for z in (29.0, 31.0):  # computed exactly, and by the limit: -ln(1 - 0.95) * error / z of what has been done
        worked = HOUR * math.exp(0.5 * z)
        assert quantile(ONE_HOUR, worked, 0.95) / worked == pytest.approx(math.exp(2.9957 * 0.5 / z), rel=1e-3)


@pytest.mark.parametrize("name", PRESETS)
def test_a_job_without_a_limit_starts_if_it_should_be_over_before_maintenance(name: str) -> None:
    policy = preset(name)
    assert started(machine("a", UPPER + 1), job(1, estimate=ONE_HOUR), policy=policy) == ["j-1"]
    assert started(machine("a", UPPER - 1), job(1, estimate=ONE_HOUR), policy=policy) == []
    assert started(machine("a", UPPER + 1), job(1), policy=policy) == []
    assert started(machine("a", UPPER + 1), job(1, limit=3 * HOUR, estimate=ONE_HOUR), policy=policy) == []


@pytest.mark.parametrize("backfill", ["easy", "conservative"])
def test_its_reservation_is_before_or_after_the_maintenance_by_the_same(backfill: str) -> None:
    policy = Policy(order=Order(by="fifo"), backfill=backfill)
    held = replace(run(9, 8, limit=600.0 + 500.0), since=NOW - 500)
    for after, wakes in ((UPPER + 601, 600.0), (UPPER + 599, UPPER + 599 + HOUR)):
        found = decide(Snapshot(NOW, (machine("a", after),), (job(1, 8, estimate=ONE_HOUR),), (held,)), policy)
        later = decide(Snapshot(NOW, (machine("a", after),), (job(1, 8, estimate=ONE_HOUR),)), policy)
        assert (found.wake, bool(later.starts)) == (NOW + min(wakes, after), True)


def test_a_wide_gang_that_is_over_in_time_starts_where_a_narrow_one_would_meet_maintenance() -> None:
    elastic = job(1, 1, 8, estimate=ONE_HOUR)
    policy = Policy(order=Order(by="fifo"), elastic=Elastic())
    found = decide(Snapshot(NOW, (machine("a", UPPER * 8 / 6 + 1),), (elastic,)), policy)
    assert found.starts == (Start("j-1", (Share("a", 8),)),)
    busy = run(9, 2, limit=1000.0)
    found = decide(Snapshot(NOW, (machine("a", UPPER * 8 / 6 + 1),), (elastic,), (busy,)), policy)
    assert found.starts == (Start("j-1", (Share("a", 6),)),)
    found = decide(Snapshot(NOW, (machine("a", UPPER * 8 / 6 - 1),), (elastic,), (busy,)), policy)
    assert found.starts == ()


def test_a_run_grows_if_it_is_then_over_before_maintenance() -> None:
    policy = Policy(order=Order(by="fifo"), elastic=Elastic(between=0, pays_within=1))
    narrow = Running(job(1, 1, 8, estimate=ONE_HOUR), (Share("a", 1),), NOW - HOUR, NOW, NOW - HOUR)
    grown = decide(Snapshot(NOW, (machine("a", UPPER + 1),), (), (narrow,)), policy)
    assert [resize.workers for resize in grown.resizes] == [8]
    assert not decide(Snapshot(NOW, (machine("a", UPPER - 1),), (), (narrow,)), policy).resizes


def test_room_is_made_only_where_the_job_is_over_in_time() -> None:
    policy = Policy(order=Order(by="priority"), preemption=Preemption(for_whom="priority", min_run=0))
    urgent, victims = job(1, 8, priority=9, estimate=ONE_HOUR), (run(8, 8, "a"), run(9, 8, "b"))
    nodes = (machine("a", UPPER - 1), machine("b", UPPER + 31))
    found = decide(Snapshot(NOW, nodes, (urgent,), victims), policy)
    assert [(preempt.job, preempt.for_job) for preempt in found.preempts] == [("j-9", "j-1")]
    assert not decide(Snapshot(NOW, nodes[:1], (urgent,), victims[:1]), policy).preempts


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param(Policy(order=Order(by="priority"), preemption=Preemption(min_run=0, price=20)), id="by a stop"),
        pytest.param(Policy(order=Order(by="priority"), elastic=Elastic(between=0, price=20)), id="by a shrink"),
    ],
)
def test_room_is_made_only_where_the_job_is_over_in_time_once_it_has_been_given(policy: Policy) -> None:
    urgent = job(1, 4, priority=9, estimate=ONE_HOUR)
    asked = replace(run(9, 8), job=job(9, 4, 8))
    early = decide(Snapshot(NOW, (machine("a", UPPER + 19),), (urgent,), (asked,)), policy)
    assert (early.preempts, early.resizes, early.claims) == ((), (), ())
    edge = Snapshot(NOW, (machine("a", UPPER + 21),), (urgent,), (asked,))
    (claim,) = decide(edge, policy).claims
    given = replace(edge, now=NOW + 20, running=(), pending=(replace(urgent, claim=claim.placement),))
    assert [(start.job, start.placement) for start in decide(given, policy).starts] == [("j-1", claim.placement)]


@pytest.mark.parametrize("name", PRESETS)
def test_what_still_runs_when_maintenance_begins_is_asked_to_stop_once(name: str) -> None:
    protected = replace(run(1, 4, preemptions=99), since=NOW, resized=NOW, pinned=True)
    there = (protected, run(2, 2, "b"))
    nodes = (machine("a", 0.0), machine("b", 50.0))
    found = decide(Snapshot(NOW, nodes, (), there), preset(name))
    assert found.preempts == (Preempt("j-1", None, "maintenance of a (new fans) begins"),)
    assert found.wake == NOW + 50
    asked = replace(protected, keeps=())
    assert not decide(Snapshot(NOW, nodes, (), (asked, there[1])), preset(name)).preempts
    assert not decide(Snapshot(NOW - 1, nodes, (), there), preset(name)).preempts
    assert not decide(Snapshot(NOW + 2 * HOUR, nodes, (), there), preset(name)).preempts


def test_who_is_leaving_the_node_is_not_asked_to_stop_and_who_is_coming_is() -> None:
    moves = replace(run(1, 8), placement=(Share("a", 4), Share("b", 8)))
    nodes = (machine("a", 0.0), Node("b", 8))
    for keeps, asked in (((Share("b", 8),), []), ((Share("a", 4),), ["j-1"]), (None, ["j-1"])):
        there = replace(moves, keeps=keeps)
        found = decide(Snapshot(NOW, nodes, (), (there,)), preset("elastic"))
        assert [preempt.job for preempt in found.preempts] == asked


def test_a_gang_stops_if_one_of_its_nodes_goes_into_maintenance_and_gives_no_more() -> None:
    gang = replace(run(1, 16), placement=(Share("a", 8), Share("b", 8)))
    policy = Policy(order=Order(by="priority"), preemption=Preemption(for_whom="priority", min_run=0))
    found = decide(Snapshot(NOW, (machine("a", 0.0), Node("b", 8)), (job(2, 8, priority=9),), (gang,)), policy)
    assert [(preempt.job, preempt.for_job) for preempt in found.preempts] == [("j-1", None)]
    assert [claim.placement for claim in found.claims] == [(Share("b", 8),)]


@pytest.mark.parametrize("name", PRESETS)
def test_a_simulated_run_is_stopped_at_the_window_and_goes_on_where_it_was(name: str) -> None:
    there = Snapshot(0.0, (Node("a", 1, windows=(Window(3 * HOUR, 4 * HOUR),)),))
    load = [TrueJob(replace(job(1, estimate=ONE_HOUR), submitted=0.0, waits_since=0.0), 5 * HOUR)]
    result = simulate(there, load, preset(name), charges=Charges(resume=30.0))
    (found,) = result.outcomes
    assert (found.started, found.ended, found.preemptions) == (0.0, 6 * HOUR + 30, 1)
    assert found.lost == 0


def test_no_simulated_run_takes_longer_than_the_cluster_lets_any() -> None:
    there = Snapshot(0.0, (Node("a", 1),))
    its = job(1, estimate=ONE_HOUR, max_time=2 * HOUR)
    (found,) = simulate(
        there, [TrueJob(replace(its, submitted=0.0, waits_since=0.0), 5 * HOUR)], preset("fifo")
    ).outcomes
    assert (found.ended, found.ends) == (2 * HOUR, "killed")
