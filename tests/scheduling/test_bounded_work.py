"""What one decision costs is bounded, and what is left out for that follows in the next one."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import NOW, budget

from orchestrator.scheduling.backfill import conservative
from orchestrator.scheduling.cluster import Demand, Node, Share
from orchestrator.scheduling.deltas import Gone, Pends
from orchestrator.scheduling.fold import decide
from orchestrator.scheduling.jobs import Estimate, Job, Running
from orchestrator.scheduling.latest import Latest
from orchestrator.scheduling.orders.build import ranking
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.scheduling.walk import ROOMS
from orchestrator.spec.policy import Order, Policy, Preemption

PRIORITY = Policy(order=Order(by="priority"), backfill="skip", preemption=Preemption(min_run=0))


def _waiting(number: int, priority: int = 0, workers: int = 1, seconds: float = 100.0) -> Job:
    demand = Demand(workers, workers)
    return Job(f"j-{number}", number, NOW - 50, demand, priority=priority, estimate=Estimate(seconds), waits_since=NOW)


def _runs(number: int, node: str, workers: int = 1, seconds: float = 100.0) -> Running:
    job = _waiting(number, workers=workers, seconds=seconds)
    return Running(job, (Share(node, workers),), NOW - 40, NOW - 40, NOW - 40)


def test_room_is_made_for_so_many_jobs_in_one_decision_and_soon_for_the_rest() -> None:
    names = [f"n{number:03}" for number in range(ROOMS + 6)]
    running = tuple(_runs(number, name) for number, name in enumerate(names))
    urgent = tuple(_waiting(1000 + number, priority=1) for number in range(len(names)))
    state = State.of(Snapshot(NOW, tuple(Node(name, 1) for name in names), urgent, running))
    first = state.decide(PRIORITY, NOW)
    assert [claim.job for claim in first.claims] == [job.id for job in urgent[:ROOMS]]
    assert first.wake == NOW + 1
    state.carry_out(first, NOW)
    second = state.decide(PRIORITY, NOW + 1)
    assert [claim.job for claim in second.claims] == [job.id for job in urgent[ROOMS:]]
    assert not {preempt.job for preempt in first.preempts} & {preempt.job for preempt in second.preempts}


def test_a_copy_and_its_original_do_not_change_each_other() -> None:
    nodes = tuple(Node(f"n{number}", 2) for number in range(2))
    state = State.of(Snapshot(NOW, nodes, tuple(_waiting(number) for number in range(6))))
    before = state.decide(PRIORITY, NOW)
    copy = state.copy()
    copy.apply(Gone("j-0"), NOW)
    copy.apply(Pends(_waiting(9, priority=1)), NOW)
    state.apply(Gone("j-5"), NOW)
    assert [start.job for start in state.decide(PRIORITY, NOW).starts] == [start.job for start in before.starts]
    assert [start.job for start in copy.decide(PRIORITY, NOW).starts] == ["j-9", "j-1", "j-2", "j-3"]


@budget(60)
@given(
    st.sampled_from(["fifo", "priority", "attained", "shortest"]),
    st.floats(1.0, 1e5),
    st.floats(0.0, 5.0),
    st.floats(0.0, 1e7),
    st.floats(0.0, 600.0),
)
def test_no_running_job_falls_further_back_than_its_bound(
    by: str, seconds: float, error: float, worked: float, later: float
) -> None:
    order = ranking(Order.model_validate({"by": by, "overdue": "1h"}))
    job = replace(_waiting(1), estimate=Estimate(seconds, error), worked=worked, attained=worked)
    running = Running(job, (Share("a", 1),), NOW - 40, NOW - 40, NOW - 40)
    bound = Latest(order).key(running, NOW)
    assert order.running_key(running, NOW + min(later, 300.0)) <= bound


@pytest.mark.parametrize("looks", [1, 1_000_000])
def test_conservative_backfill_reserves_for_nobody_more_once_it_has_looked_enough(
    looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conservative, "_LOOKS", looks)
    running = _runs(0, "a", workers=3)
    wide, next_wide = _waiting(1, workers=4, seconds=50.0), _waiting(2, workers=4, seconds=50.0)
    late = replace(_waiting(3, seconds=250.0), estimate=Estimate(250.0, 0.0))
    found = Snapshot(NOW, (Node("a", 4), Node("b", 4)), (wide, next_wide, late), (running, _runs(9, "b", workers=4)))
    policy = Policy(order=Order(by="fifo"), backfill="conservative")
    assert bool(decide(found, policy).starts) == (looks == 1)


def test_ends_taken_together_come_no_sooner_than_each_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conservative, "_TIMES", (1, 1))
    random = Random(3)
    nodes = tuple(Node(f"n{number}", 4) for number in range(4))
    running = tuple(_runs(number, node.name, 4, random.uniform(60, 900)) for number, node in enumerate(nodes))
    found = Snapshot(NOW, nodes, tuple(_waiting(10 + number, workers=4) for number in range(3)), running)
    decisions = decide(found, Policy(order=Order(by="fifo"), backfill="conservative"))
    assert not decisions
    assert decisions.wake is not None
