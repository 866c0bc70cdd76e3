"""Nodes that fail, come back, and are drained."""

import math
import random
from dataclasses import replace

import pytest
from simulation_kit import FIFO, cluster, true_job

from orchestrator.base.errors import UsageError
from orchestrator.scheduling.cluster import Constraints, Node, Window
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.simulation import stalls
from orchestrator.simulation.engine import Engine, simulate
from orchestrator.simulation.machines import Machines
from orchestrator.simulation.truth import Charges, Drain, Faults, TrueJob
from orchestrator.spec.presets import preset

FREE = Charges(0.0, 0.0)


def draws(seed: int, node: str, mtbf: float, mttr: float) -> tuple[float, float, float]:
    """First failure, repair, and the time to the next failure."""
    dice = random.Random(f"{seed}/{node}")
    return dice.expovariate(1 / mtbf), dice.expovariate(1 / mttr), dice.expovariate(1 / mtbf)


def test_a_failure_throws_back_to_the_start_of_the_run_and_the_repair_lets_it_start_again() -> None:
    failed, down, up = draws(3, "n0", 1_000, 100)
    duration = failed + 1
    assert up > duration  # the second run is not hit
    result = simulate(
        cluster(2), [true_job("a", 0, 2, duration)], FIFO, charges=FREE, faults=Faults(1_000, 100, seed=3)
    )
    (a,) = result.outcomes
    assert a.ended == pytest.approx(failed + down + duration)
    assert (a.failures, a.lost, a.preemptions) == (1, pytest.approx(2 * failed), 0)
    assert result.capacity == pytest.approx(2 * (failed + duration))
    assert result.node_failures == 1


def test_a_failure_throws_back_to_the_last_checkpoint() -> None:
    failed, down, _ = draws(3, "n0", 1_000, 100)
    charges = Charges(resume=30, checkpoint_every=failed / 2.5)
    (a,) = simulate(
        cluster(2), [true_job("a", 0, 2, failed + 1)], FIFO, charges=charges, faults=Faults(1_000, 100, seed=3)
    ).outcomes
    assert a.lost == pytest.approx(2 * failed * 0.2)
    assert a.ended == pytest.approx(failed + down + 30 + failed + 1 - 0.8 * failed)


def test_a_node_that_fails_spares_jobs_on_other_nodes() -> None:
    first, second = sorted(draws(3, node, 1_000, 100)[0] for node in ("n0", "n1"))
    load = [true_job("a", 0, 2, first + 10), true_job("b", 1, 2, first + 9)]
    assert first + 10 < second
    result = simulate(cluster(2, 2), load, FIFO, faults=Faults(1_000, 100, seed=3))
    assert sorted(o.failures for o in result.outcomes) == [0, 1]


def test_failures_are_the_same_whatever_the_policy() -> None:
    load = [true_job(f"j{i}", 50 * i, 1 + i % 4, 300) for i in range(40)]
    faults = Faults(2_000, 500, seed=1)
    seen = []
    for name in ("fifo", "easy"):
        engine = Engine(cluster(4, 4), load, preset(name), faults=faults)
        engine.run(until=1_500)
        seen.append(engine.world.node_failures)
    assert seen[0] == seen[1] > 0


def test_what_runs_on_a_drained_node_goes_on_and_nothing_new_starts_there() -> None:
    load = [true_job("a", 0, 1, 100), true_job("b", 20, 1, 10)]
    result = simulate(cluster(2), load, FIFO, drains=[Drain("n0", 10, 300)])
    assert [(o.job, o.started, o.ended) for o in result.outcomes] == [("a", 0, 100), ("b", 300, 310)]


@pytest.mark.parametrize("name", ["fifo", "las", "default"])
def test_nothing_runs_into_maintenance_and_work_begins_when_it_is_over(name: str) -> None:
    shut = Snapshot(0.0, (Node("n0", 1, windows=(Window(100, 200),)),))
    load = [true_job("a", 0, 1, 90, limit=95), true_job("b", 10, 1, 50, limit=60)]
    result = simulate(shut, load, preset(name))
    assert [(o.job, o.started, o.ended) for o in result.outcomes] == [("a", 0, 90), ("b", 200, 250)]


def test_who_still_runs_when_maintenance_begins_goes_on_elsewhere_with_what_it_has_done() -> None:
    shut = Snapshot(0.0, (Node("n0", 4, windows=(Window(100, 200),)), Node("n1", 4)))
    load = [true_job("a", 0, 4, 300, estimate=30), true_job("b", 10, 2, 150, estimate=50)]
    result = simulate(shut, load, FIFO)
    assert [(o.job, o.started, o.ended, o.preemptions) for o in result.outcomes] == [
        ("b", 10, 160, 0),
        ("a", 0, 390, 1),
    ]


def test_a_drain_of_an_unknown_node_is_refused() -> None:
    with pytest.raises(UsageError, match="'n7'"):
        simulate(cluster(1), [], FIFO, drains=[Drain("n7", 0, 1)])


def test_a_node_that_is_drained_twice_takes_work_when_both_are_over() -> None:
    machines = Machines([Node("n0", 1)], None)
    states = [machines.drain("n0", step).state for step in (1, 1, -1, -1)]
    assert states == ["drained", "drained", "drained", "up"]


def test_a_drained_node_that_fails_and_is_repaired_is_still_drained() -> None:
    machines = Machines([Node("n0", 4)], Faults(100, 10))
    machines.drain("n0", 1)
    assert (machines.fail("n0")[0].state, machines.capacity) == ("down", 0)
    assert (machines.repair("n0")[0].state, machines.capacity) == ("drained", 4)


def test_a_job_that_is_done_by_way_of_its_checkpoints_goes_on_through_hundreds_of_failures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stalls, "MOST", 50)
    charges = Charges(resume=0, checkpoint_every=100)
    result = simulate(cluster(1), [true_job("a", 0, 1, 20_000)], FIFO, charges=charges, faults=Faults(60, 1, seed=2))
    assert (len(result.outcomes), result.stopped) == (1, "")
    assert result.outcomes[0].failures > 300


def test_a_job_that_no_run_is_long_enough_for_ends_the_simulation_with_that_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stalls, "MOST", 50)
    result = simulate(cluster(1, 1), [true_job("a", 0, 1, 1e6)], FIFO, faults=Faults(100, 10))
    assert (result.unfinished, result.stopped) == (("a",), "the jobs that are left cannot finish between failures")


def test_a_job_that_outlasts_the_failures_under_others_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(machines: Machines, name: str, *, failing: bool) -> float:
        return math.inf if name == "n1" else 10.0 if failing else 1.0

    monkeypatch.setattr(Machines, "_draw", draw)
    monkeypatch.setattr(stalls, "MOST", 50)
    load = [only_on("n0", true_job("a", 0, 1, 50)), only_on("n1", true_job("b", 0, 1, 2_000))]
    result = simulate(cluster(1, 1), load, FIFO, faults=Faults(10, 1))
    assert ([o.job for o in result.outcomes], result.unfinished) == (["b"], ("a",))


def only_on(node: str, true: TrueJob) -> TrueJob:
    """It accepts one of n0 and n1."""
    constraints = Constraints(not_on=frozenset({"n0", "n1"} - {node}))
    return replace(true, job=replace(true.job, demand=replace(true.job.demand, constraints=constraints)))
