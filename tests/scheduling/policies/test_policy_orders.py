"""Who goes first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_kit import HOUR, NOW, decide, expects, job, runs, snapshot, started

from orchestrator.scheduling.jobs import Estimate
from orchestrator.scheduling.sharing.shares import factors
from orchestrator.scheduling.sharing.tree import Tree
from orchestrator.scheduling.sharing.usage import used
from orchestrator.scheduling.teams import Team, Usage
from orchestrator.spec.policy import Order, Policy


def first(order: Order, *waiting, **more) -> list[str]:
    """Who gets the one slot, then the next one, and so on."""
    jobs, found = list(waiting), []
    while jobs:
        (start,) = started(decide(snapshot(*jobs, slots=1, **more), Policy(order=order)))
        found.append(start)
        jobs = [one for one in jobs if getattr(one, "id", "") != start]
    return found


def test_a_point_of_priority_is_worth_so_long_a_wait() -> None:
    order = Order(by="priority", aging=HOUR)
    early, late = job(1, submitted=NOW - 3 * HOUR), job(2, submitted=NOW - 1.5 * HOUR, priority=2)
    assert first(order, early, late) == ["j-2", "j-1"]
    later = job(3, submitted=NOW - 0.5 * HOUR, priority=2)
    assert first(order, early, later) == ["j-1", "j-3"]


def test_least_attained_service_has_queues_that_are_served_in_the_order_of_submission() -> None:
    order = Order(by="attained", thresholds=[100.0, 1000.0])
    waiting = [job(1, attained=1000.0), job(2, attained=100.0), job(3, attained=99.0), job(4), job(5, attained=500.0)]
    assert first(order, *waiting) == ["j-3", "j-4", "j-2", "j-5", "j-1"]


def test_shortest_is_by_what_is_left_of_the_work_and_unknown_goes_last() -> None:
    order = Order(by="shortest")
    waiting = [job(1), job(2, estimate=expects(50)), job(3, estimate=expects(100), worked=60.0)]
    assert first(order, *waiting) == ["j-3", "j-2", "j-1"]


def test_a_job_that_has_outlasted_its_estimate_is_expected_to_go_on_for_long() -> None:
    order = Order(by="shortest")
    fresh, late = job(1, estimate=Estimate(100.0, 0.5)), job(2, estimate=Estimate(100.0, 0.5), worked=300.0)
    # E[X] = 100 exp(0.125) = 113; E[X | X > 300] - 300 is about 60, E[X | X > 2000] - 2000 about 150
    assert first(order, fresh, late) == ["j-2", "j-1"]
    hopeless = job(3, estimate=Estimate(100.0, 0.5), worked=2000.0)
    assert first(order, fresh, hopeless) == ["j-1", "j-3"]


def test_the_overdue_go_first_oldest_first() -> None:
    order = Order(by="shortest", overdue=HOUR)
    long = [job(n, estimate=expects(9999), waits_since=NOW - HOUR * (1 + 1 / n)) for n in (1, 2)]
    short = job(3, estimate=expects(1), waits_since=NOW - HOUR + 1)
    assert first(order, short, *reversed(long)) == ["j-1", "j-2", "j-3"]


# --- fair share


def test_usage_counts_half_after_a_half_life_and_running_jobs_count_up_to_now() -> None:
    run = runs(job(1, 4, team="x"), NOW - HOUR, a=4)
    found = used([Usage("x", 8000.0, NOW - 2 * HOUR), Usage("y", 100.0, NOW)], [run], NOW, half_life=HOUR)
    held = 4 * HOUR * (1 - 0.5) / 0.6931471805599453
    assert found == pytest.approx({"x": 2000.0 + held, "y": 100.0})


def test_a_fair_tree_goes_depth_first_by_level_share() -> None:
    # root: a (weight 3) used 60, b (weight 1) used 40: LS a = 0.75 / 0.6, b = 0.25 / 0.4: all of a comes before b
    teams = [Team("a", weight=3.0), Team("b"), Team("a1", "a"), Team("a2", "a"), Team("b1", "b")]
    found = factors(Tree(teams), {"a1": 50.0, "a2": 10.0, "b1": 40.0})
    ordered = sorted(found, key=lambda name: -found[name])
    # within a: a itself has used nothing; a2 10 of 60 with a third of the weight, a1 50 of 60
    assert ordered == ["a", "a2", "a1", "b", "b1"]
    assert found["a"] == 1.0
    assert found["b1"] == pytest.approx(1 / 5)


def test_the_team_that_is_furthest_below_its_share_goes_first() -> None:
    order = Order(by="fair")
    usage = (Usage("rich", 1000.0, NOW), Usage("poor", 10.0, NOW))
    waiting = [job(1, team="rich"), job(2, team="poor"), job(3, team="new")]
    assert first(order, *waiting, usage=usage) == ["j-3", "j-2", "j-1"]


def test_age_and_priority_count_beside_the_share() -> None:
    order = Order(by="fair", share_weight=10.0, age_weight=1.0, priority_weight=2.0)
    usage = (Usage("rich", 1000.0, NOW), Usage("poor", 10.0, NOW))
    # the factors are 1 and 1/2: five points, which are five hours, or three points of priority less an hour
    old, new = job(1, team="rich", submitted=NOW - 6 * HOUR), job(2, team="poor", submitted=NOW)
    assert first(order, old, new, usage=usage) == ["j-1", "j-2"]
    urgent = job(3, team="rich", submitted=NOW, priority=3)
    assert first(order, urgent, new, usage=usage) == ["j-3", "j-2"]
    assert first(order, job(4, team="rich", submitted=NOW, priority=2), new, usage=usage) == ["j-2", "j-4"]


def test_a_circle_of_teams_does_not_hang() -> None:
    tree = Tree([Team("a", "b"), Team("b", "a")])
    assert factors(tree, {"a": 1.0}) == {"a": 0.5, "b": 1.0}


ORDERS = st.sampled_from(
    [
        Order(by="fifo"),
        Order(by="priority", aging=HOUR),
        Order(by="fair"),
        Order(by="attained"),
        Order(by="shortest", overdue=HOUR),
    ]
)
JOBS = st.lists(
    st.builds(
        lambda n, w, p, a, s, t: (
            job(n, 1, waits_since=NOW - w, submitted=NOW - w, priority=p, attained=a, team=t)
            if s is None
            else job(n, 1, waits_since=NOW - w, submitted=NOW - w, priority=p, attained=a, team=t, estimate=expects(s))
        ),
        st.integers(1, 99),
        st.sampled_from([0.0, HOUR, 2 * HOUR]),
        st.integers(0, 1),
        st.sampled_from([0.0, 5000.0]),
        st.sampled_from([None, 10.0, 1000.0]),
        st.sampled_from(["x", "y"]),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda one: one.sequence,
)


@given(ORDERS, JOBS, st.randoms())
def test_every_order_is_total(order: Order, waiting: list, random) -> None:
    shuffled = list(waiting)
    random.shuffle(shuffled)
    assert first(order, *waiting) == first(order, *shuffled)
