"""Decisions are total, and depend neither on the order of what is told nor on where time begins."""

import random
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_kit import HOUR, NOW, decide, job, on, resized, runs, snapshot, started, stopped

from orchestrator.scheduling.cluster import Node, Window
from orchestrator.scheduling.jobs import Estimate, Job, Running, total_expected
from orchestrator.scheduling.sharing.usage import used
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.teams import Team, Usage
from orchestrator.spec.policy import Elastic, Order, Policy
from orchestrator.spec.presets import PRESETS, preset

DAY = 24 * HOUR


@pytest.mark.parametrize("seconds", [0.0, 1e-300, 1.0, 1e300, float("inf")])
@pytest.mark.parametrize("error", [0.0, 1e-300, 0.5, 40.0, 1e300])
@pytest.mark.parametrize("worked", [0.0, 1.0, 1e9])
def test_any_estimate_can_be_decided_by(seconds: float, error: float, worked: float) -> None:
    estimate = Estimate(seconds, error)
    assert total_expected(estimate, worked) >= worked
    waiting = job(1, 4, estimate=estimate, worked=worked)
    assert started(decide(snapshot(waiting), preset("default"))) == {"j-1": 4}


def test_an_estimate_within_reason_is_taken_as_it_is() -> None:
    assert total_expected(Estimate(100.0, 1.0), 0.0) == pytest.approx(100.0 * 2.718281828**0.5)


def shuffled(found: Snapshot, seed: int) -> Snapshot:
    rng = random.Random(seed)
    lists = (list(found.nodes), list(found.pending), list(found.running), list(found.usage))
    for each in lists:
        rng.shuffle(each)
    return replace(
        found, nodes=tuple(lists[0]), pending=tuple(lists[1]), running=tuple(lists[2]), usage=tuple(lists[3])
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 40_000), min_size=7, max_size=7), st.integers(0, 99), st.sampled_from(["srtf", "default"])
)
def test_who_is_asked_does_not_depend_on_the_order_of_running_jobs(tenths: list[int], seed: int, name: str) -> None:
    def old(number: int, workers: int, at: dict[str, int]) -> Running:
        base = job(number, workers, estimate=Estimate(1e6))
        return runs(base, NOW - 5000, saved=tenths[number] / 10, **at)

    widths = [(3, "a"), (3, "a"), (2, "a"), (3, "b"), (3, "b"), (2, "b"), (8, "c")]
    busy = [old(number, workers, {node: workers}) for number, (workers, node) in enumerate(widths)]
    found = snapshot(job(9, 16, estimate=Estimate(100.0)), *busy, nodes="abc")
    assert decide(shuffled(found, seed), preset(name)) == decide(found, preset(name))


def test_usage_is_the_same_to_the_last_bit_in_any_order() -> None:
    busy = [runs(job(n, n, team="x"), NOW - 1000 / n, a=n) for n in (1, 3, 5, 6, 7)]
    sums = {used((Usage("x", 0.1, NOW - 9),), order, NOW, 7777.0)["x"] for order in permutations(busy)}
    assert len(sums) == 1


def moved(found: Snapshot, by: float) -> Snapshot:
    """The same, so many seconds later."""

    def later(one: Job) -> Job:
        return replace(one, submitted=one.submitted + by, waits_since=one.waits_since + by)

    def runs_later(run: Running) -> Running:
        times = {name: getattr(run, name) + by for name in ("since", "counted", "resized")}
        return replace(run, job=later(run.job), **times)

    return replace(
        found,
        now=found.now + by,
        pending=tuple(map(later, found.pending)),
        running=tuple(map(runs_later, found.running)),
    )


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 120), st.sampled_from([2, 4, 8]), st.integers(1, 500)), min_size=2, max_size=6),
    st.sampled_from(sorted(PRESETS)),
    st.sampled_from([2**12, 2**20, 2**30]),
)
def test_decisions_are_the_same_at_another_time(drawn: list[tuple[int, int, int]], name: str, by: int) -> None:
    policy = preset(name)
    jobs = [
        job(n, w // 2, w, submitted=NOW - age * HOUR, waits_since=NOW - age * HOUR, estimate=Estimate(64.0 * s, 0.0))
        for n, (age, w, s) in enumerate(drawn)
    ]
    busy = [runs(one, NOW - HOUR, **{node: one.demand.workers_max}) for one, node in zip(jobs[:2], "ab", strict=True)]
    before = decide(snapshot(*busy, *jobs[2:], nodes="ab"), policy)
    after = decide(moved(snapshot(*busy, *jobs[2:], nodes="ab"), float(by)), policy)
    assert (started(after), stopped(after), resized(after)) == (started(before), stopped(before), resized(before))
    assert after.claims == before.claims


@pytest.mark.parametrize("age", [14.3, 14.9])
def test_who_is_overdue_has_a_later_one_stopped_however_close_they_are(age: float) -> None:
    def waited(number: int, days: float) -> Job:
        since = NOW - days * DAY
        return job(number, 8, submitted=since, waits_since=since, estimate=Estimate(1e5))

    busy = runs(waited(2, age), NOW - HOUR, a=8)
    assert stopped(decide(snapshot(waited(1, 15.0), busy), preset("default"))) == ["j-2"]
    busy = runs(waited(2, 15.0), NOW - HOUR, a=8)
    assert not stopped(decide(snapshot(waited(1, age), busy), preset("default")))


def test_nobody_is_stopped_for_a_job_without_an_estimate() -> None:
    busy, waits = runs(job(5, 8), NOW - 5000, a=8), job(1, 8, submitted=NOW - 6000, waits_since=NOW - 6000)
    assert not stopped(decide(snapshot(waits, busy), preset("default")))
    assert not stopped(decide(snapshot(waits, busy), preset("srtf")))


def test_a_job_with_an_estimate_goes_before_one_without() -> None:
    busy = runs(job(5, 8), NOW - 5000, a=8)
    assert stopped(decide(snapshot(job(1, 8, estimate=Estimate(100.0)), busy), preset("default"))) == ["j-5"]


WIDE = Policy(order=Order(by="fifo"), backfill="skip", elastic=Elastic(start="widest", grow="never"))


def test_where_nodes_differ_every_width_is_tried() -> None:
    nodes = (*(Node(name, 8) for name in "abc"), Node("d", 16))
    busy = runs(job(50, 16), NOW - 10, d=16)
    for fewest in (4, 16):
        found = Snapshot(NOW, nodes, (job(1, fewest, 26),), (busy,))
        assert started(decide(found, WIDE)) == {"j-1": 24}


def test_a_gang_spreads_where_the_node_that_could_hold_it_is_about_to_go_into_maintenance() -> None:
    window = Window(NOW + 100, NOW + 1000, "maintenance")
    nodes = (Node("a", 8, windows=(window,)), Node("b", 4), Node("c", 4))
    found = Snapshot(NOW, nodes, (job(1, 8, limit=HOUR),), (runs(job(2, 8), NOW - 10, a=8),))
    assert started(decide(found, preset("easy"))) == {"j-1": 8}


def test_where_something_is_reserved_every_width_is_tried() -> None:
    """Until 1000 s from now the four free slots are reserved: 4 workers take 800 s, 3 would take 1067 s."""
    policy = WIDE.model_copy(update={"backfill": "easy", "elastic": Elastic(start="widest", shrink="never")})
    head = job(1, 8, estimate=Estimate(100.0, 0.0))
    busy = runs(job(2, 4, limit=HOUR), NOW - HOUR + 1000, a=4)
    found = snapshot(head, job(3, 2, 6, estimate=Estimate(800 * 2 / 3, 0.0)), busy)
    assert started(decide(found, policy)) == {"j-3": 4}


def test_what_a_job_with_a_backoff_claims_does_not_count_against_its_team() -> None:
    """Nothing is kept free for it either."""
    claiming = job(1, 4, team="x", claim=on(a=4), not_before=NOW + 60)
    found = snapshot(claiming, job(2, 4, team="x"), teams=(Team("x", limit=4),))
    assert started(decide(found, preset("fifo"))) == {"j-2": 4}
