"""Figures, computed by hand."""

import math

import pytest
from simulation_kit import FIFO, Script, cluster, preempt, true_job

from orchestrator.scheduling.teams import Usage
from orchestrator.simulation.engine import Engine, simulate
from orchestrator.simulation.metrics import Distribution, distribution, figures, percentile
from orchestrator.simulation.observers import Fragmentation, Series
from orchestrator.simulation.outcomes import Outcome, Result
from orchestrator.simulation.truth import Charges
from orchestrator.simulation.usage import Accounts


def outcome(job: str, at: float, started: float, ended: float, duration: float, slots: int, **more: float) -> Outcome:
    contenders = more.pop("contenders", 1.0)
    return Outcome(job, "t", at, started, ended, duration, slots, "completed", contenders, slots * duration, **more)


def test_percentiles_are_by_nearest_rank() -> None:
    values = [float(i) for i in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 99), percentile(values, 100)) == (50, 99, 100)
    assert percentile([7.0], 99) == 7
    assert distribution([3, 1, 2]) == Distribution(2, 2, 3, 3)
    assert distribution([]) == Distribution()


def test_the_figures_of_two_jobs() -> None:
    result = Result(
        outcomes=(
            outcome("a", 0, 0, 100, 100, 16),
            outcome("b", 0, 100, 190, 5, 8, lost=80.0, charged=40.0, preemptions=1, resizes=2, contenders=2.0),
        ),
        began=0,
        ended=190,
        used=2_000,
        capacity=16 * 190,
        lost=80,
        charged=40,
    )
    found = figures(result, fragmentation=0.25)
    assert found.jct == Distribution(145, 100, 190, 190)
    assert found.wait.mean == 50
    assert found.time_lost.most == 185
    assert found.wide_time_lost == Distribution(0, 0, 0, 0)
    assert found.slowdown == Distribution((1 + 19) / 2, 1, 19, 19)  # b: 190 / max(5, 10)
    assert found.makespan == 190
    assert found.utilisation == pytest.approx(2_000 / 3_040)
    assert found.useful == pytest.approx((2_000 - 120) / 3_040)
    # b shares the cluster of 16 with one other: half of it is 8, what it asks for. 190 / 5.
    assert found.fairness.most == 38
    assert (found.preemptions, found.resizes, found.lost_work, found.charged) == (1, 2, 80, 40)
    assert found.fragmentation == 0.25


def test_a_share_below_what_a_job_asks_for_is_taken_as_time_slices() -> None:
    result = Result((outcome("a", 0, 0, 100, 50, 8, contenders=2.0),), 0, 100, used=400, capacity=800)
    # Half the cluster of 8 is 4 of its 8 slots: 50 s would have taken 100.
    assert figures(result).fairness.mean == 1.0


def test_without_wide_jobs_there_is_no_figure_of_them() -> None:
    assert figures(Result((outcome("a", 0, 0, 1, 1, 8),), 0, 1)).wide_time_lost is None


def test_nothing_is_no_division_by_zero() -> None:
    empty = figures(Result((), 0, 0))
    assert (empty.jobs, empty.utilisation, empty.jct) == (0, 0, Distribution())


def test_what_jobs_that_did_not_end_have_lost_and_held_in_vain_is_not_useful() -> None:
    core = Script(2, {100.0: preempt("a")})
    charges = Charges(resume=50, checkpoint_every=80)
    load = [true_job("a", 0, 2, 1_000), true_job("b", 90, 2, 5)]
    result = Engine(cluster(2), load, FIFO, charges=charges, core=core).run(until=125)
    # Of a: 80 s are saved, 20 s lost; back at 105, still without progress at 125. b takes 5 s.
    found = figures(result)
    assert (result.unfinished, found.lost_work, found.charged) == (("a",), 2 * 20, 2 * 20)
    assert found.useful == (80 + 5) / 125


def test_contenders_are_averaged_over_a_jobs_stay() -> None:
    load = [true_job("a", 0, 1, 100), true_job("b", 50, 1, 100)]
    found = {o.job: o.contenders for o in simulate(cluster(2), load, FIFO).outcomes}
    assert found == {"a": 1.5, "b": 1.5}


def test_a_series_is_a_step_function_of_queue_and_use() -> None:
    series = Series()
    load = [true_job("a", 0, 2, 100), true_job("b", 10, 1, 50), true_job("c", 20, 1, 30)]
    Engine(cluster(2), load, FIFO, observers=[series]).run()
    assert series.times == [0, 10, 20, 100, 130, 150]
    assert series.queue == [0, 1, 2, 0, 0, 0]
    assert series.used == [2, 2, 2, 2, 1, 0]
    assert series.running == [1, 1, 1, 2, 1, 0]
    assert series.capacity == [2] * 6


def test_an_observer_is_called_no_oftener_than_it_asks() -> None:
    series = Series(every=60.0)
    load = [true_job(f"j{i}", 10 * i, 1, 1) for i in range(20)]
    Engine(cluster(1), load, FIFO, observers=[series]).run()
    assert series.times == [0, 60, 120, 180]


def test_free_slots_that_no_waiting_gang_can_use_are_fragmentation() -> None:
    # At 10: 1 of 4 slots free on either node, and a gang of 2 waits, which fits on one node: both are of no use.
    fragmentation = Fragmentation(0.0)
    load = [true_job("a", 0, 3, 100), true_job("b", 1, 3, 100), true_job("c", 10, 2, 5)]
    Engine(cluster(4, 4), load, FIFO, observers=[fragmentation]).run(until=50)
    assert fragmentation.share == (0 + 0 + 2 / 8) / 3


def test_a_wide_gang_can_use_nodes_that_are_free_altogether() -> None:
    fragmentation = Fragmentation(0.0)
    load = [true_job("a", 0, 3, 100), true_job("b", 10, 8, 5)]
    Engine(cluster(4, 4), load, FIFO, observers=[fragmentation]).run(until=50)
    assert fragmentation.share == (0 + 1 / 8) / 2


def test_who_leaves_one_slot_free_that_is_of_no_use_is_better_than_who_leaves_three() -> None:
    shares = []
    for width in (3, 1):
        fragmentation = Fragmentation(0.0)
        load = [true_job("a", 0, width, 100), true_job("b", 10, 4, 5)]
        Engine(cluster(4), load, FIFO, observers=[fragmentation]).run(until=50)
        shares.append(fragmentation.share)
    assert shares == [1 / 4 / 2, 3 / 4 / 2]


def test_where_nothing_waits_there_is_no_fragmentation() -> None:
    fragmentation = Fragmentation(0.0)
    Engine(cluster(4), [true_job("a", 0, 3, 100)], FIFO, observers=[fragmentation]).run()
    assert fragmentation.share == 0.0
    assert Fragmentation().share is None


def test_usage_halves_in_a_half_life_and_grows_with_what_is_held() -> None:
    accounts = Accounts(100.0, (Usage("a", 80.0, 0.0),))
    accounts.change("b", 4, 0.0)
    accounts.change("b", -4, 100.0)
    held = 4 * 100 / math.log(2)
    assert [(u.team, u.slot_seconds, u.at) for u in accounts.usage(200.0)] == [
        ("a", pytest.approx(20.0), 200.0),
        ("b", pytest.approx(held / 4), 200.0),
    ]
