"""Of those who are asked to make room nobody can be left out, nobody shrinks further than is needed, nothing varies."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import NOW, budget

from orchestrator.scheduling.cluster import Constraints, Demand, Node, Placement, Share, workers_of
from orchestrator.scheduling.decisions import Decisions
from orchestrator.scheduling.fold import decide
from orchestrator.scheduling.jobs import Estimate, Job, Running
from orchestrator.scheduling.room import Room
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.spec.policy import Elastic, Order, Policy, Preemption
from orchestrator.spec.presets import PRESETS

SRTF = PRESETS["srtf"]
SHRINKING = Policy(
    order=Order(by="shortest"),
    backfill="skip",
    preemption=Preemption(for_whom="earlier", min_run=5),
    elastic=Elastic(shrink="always", grow="never", between=0),
)
SEEDS = st.integers(0, 2**32)


def run(number: int, saved: float = 0.0, elastic: int = 0, **at: int) -> Running:
    """A long job of priority 0 that has worked for 1000 seconds."""
    workers = sum(at.values())
    job = Job(f"j-{number}", number, 0.0, Demand(workers - elastic, workers), estimate=Estimate(1e6))
    return Running(job, tuple(Share(*share) for share in sorted(at.items())), 0.0, 0.0, 0.0, saved=saved)


def comes(number: int, workers: int, **demand) -> Job:
    """A short job that waits since now."""
    wants = Demand(workers, workers, **demand)
    return Job(f"j-{number}", number, NOW, wants, estimate=Estimate(10.0), waits_since=NOW)


def nodes(count: int) -> tuple[Node, ...]:
    return tuple(Node(f"n{i}", 8) for i in range(count))


def stopped(decisions: Decisions) -> list[str]:
    return sorted(preempt.job for preempt in decisions.preempts)


def test_the_last_node_of_a_gang_is_cleared_no_further_than_it_needs() -> None:
    running = (run(1, n0=8), run(2, n1=4), run(3, saved=500.0, n1=4))
    assert stopped(decide(Snapshot(NOW, nodes(2), (comes(9, 12),), running), SRTF)) == ["j-1", "j-3"]


def test_the_last_node_of_a_gang_may_hold_others_who_cannot_be_asked() -> None:
    fresh = replace(run(3, n1=4), since=NOW - 1)
    running = (run(1, n0=8), run(2, n1=4), fresh)
    assert stopped(decide(Snapshot(NOW, nodes(2), (comes(9, 12),), running), SRTF)) == ["j-1", "j-2"]


def test_who_frees_two_nodes_frees_both_of_them() -> None:
    running = (run(1, n0=8, n1=8), run(2, saved=600.0, n2=8))
    assert stopped(decide(Snapshot(NOW, nodes(3), (comes(9, 16),), running), SRTF)) == ["j-1"]


def test_nobody_is_stopped_where_what_comes_free_is_enough() -> None:
    running = (replace(run(1, n0=8), keeps=()), run(2, n1=8))
    decisions = decide(Snapshot(NOW, nodes(2), (comes(9, 8),), running), SRTF)
    assert not decisions.preempts
    assert [claim.placement for claim in decisions.claims] == [(Share("n0", 8),)]


def test_a_scattered_gang_has_nobody_shrunk_further_than_it_needs() -> None:
    running = (run(1, elastic=6, n0=8), run(2, elastic=6, n1=8))
    decisions = decide(Snapshot(NOW, nodes(2), (comes(9, 3, packed=False),), running), SHRINKING)
    assert sum(workers_of(resize.placement) for resize in decisions.resizes) + 3 == 8 * len(decisions.resizes)


def test_what_a_claim_leaves_over_goes_to_a_kind_of_job_that_nothing_could_be_freed_for() -> None:
    """j-8 may stop nobody, for it was stopped itself; then all of n0 is freed for j-9, which needs half of it."""
    small = replace(comes(8, 4), preemptions=1, waits_since=NOW, priority=2)
    like_it = replace(comes(10, 4), preemptions=1, waits_since=NOW, priority=2, submitted=NOW)
    like_it = replace(like_it, estimate=Estimate(1000.0))
    middle = replace(comes(9, 2), priority=2, estimate=Estimate(500.0))
    found = Snapshot(NOW, nodes(1), (small, like_it, middle), (run(1, n0=8),))
    claimed = {claim.job: claim.placement for claim in decide(found, SRTF).claims}
    assert claimed == {"j-9": (Share("n0", 2),), "j-10": (Share("n0", 4),)}


def test_one_who_was_stopped_hides_nobody_who_may_have_others_stopped() -> None:
    """Under EASY: j-7 is first and reserves n1; j-8 was stopped itself, j-9 needs the same for longer."""
    policy = Policy(order=Order(by="priority"), backfill="easy", preemption=Preemption(min_run=5))
    last = replace(run(2, n1=6), job=replace(run(2, n1=6).job, priority=9, limit=2000.0))
    victim = replace(run(1, n0=7), job=replace(run(1, n0=7).job, limit=3000.0))
    first = replace(comes(7, 8, constraints=Constraints(not_on=frozenset({"n0"}))), priority=5)
    barred = replace(comes(8, 2), priority=3, preemptions=1, limit=5000.0)
    longer = replace(comes(9, 2), priority=3, limit=9000.0)
    found = Snapshot(NOW, nodes(2), (first, barred, longer), (victim, last))
    assert stopped(decide(found, policy)) == ["j-1"]


@pytest.mark.parametrize("policy", [SRTF, SHRINKING], ids=["stops", "shrinks"])
@given(seed=SEEDS)
@budget(250)
def test_of_those_who_are_asked_nobody_can_be_left_out(policy: Policy, seed: int) -> None:
    found = world(Random(seed))
    decisions = decide(found, policy)
    for claim in decisions.claims:
        asks = [(p.job, ()) for p in decisions.preempts] + [(r.job, r.placement) for r in decisions.resizes]
        workers = workers_of(claim.placement)
        assert fits(found, asks, workers)
        for ask in asks:
            others = [other for other in asks if other is not ask]
            assert not fits(found, others, workers), f"{ask} can be left out"
            if ask[1] and len(ask[1]) == 1 and len(of(found, ask[0]).placement) == 1:
                less = (ask[0], (Share(ask[1][0].node, ask[1][0].workers + 1),))
                if less[1] != of(found, ask[0]).placement:
                    assert not fits(found, [*others, less], workers), f"{ask} shrinks too far"


@given(seed=SEEDS)
@budget(250)
def test_room_is_made_wherever_all_who_may_stop_could_make_it(seed: int) -> None:
    found = world(Random(seed))
    late = [(r.job.id, ()) for r in found.running if r.since + 300 <= NOW and r.keeps is None]
    decisions = decide(found, SRTF)
    assert bool(decisions.claims or decisions.starts) == fits(found, late, found.pending[0].demand.workers_min)


def world(random: Random) -> Snapshot:
    """One short job waits; long ones run, some of them elastic, some too young to be stopped."""
    uniform = random.random() < 0.5
    racks = ["", ""] if uniform else ["r1", "r2"]
    those = [
        Node(f"n{i}", 4 if uniform else random.choice([2, 4, 4]), rack=random.choice(racks))
        for i in range(random.randint(1, 4))
    ]
    room, running = Room(those), []
    for number in range(1, random.randrange(2, 9)):
        fewest, packed = random.choice([1, 1, 2, 3, 4, 6, 8]), random.random() < 0.7
        more = random.choice([0, 0, 1, 2])
        wants = Demand(fewest, fewest + more, packed=packed)
        place: Placement | None = room.fit(wants, fewest + more, NOW, NOW)
        if place is not None:
            room.take(place, wants)
            since = NOW - random.choice([100, 500, 500, 900, 900, 900])
            job = Job(f"j-{number}", number, 0.0, wants, estimate=Estimate(1e6))
            keeps = () if random.random() < 0.1 else None
            saved = random.choice([None, 0.0, 50.0])
            running.append(Running(job, place, since, since, since, saved=saved, keeps=keeps))
    wants = Demand(random.choice([1, 2, 3, 4, 5, 6, 8, 10, 12]), packed=random.random() < 0.7)
    wants = replace(wants, workers_max=wants.workers_min)
    if random.random() < 0.2:
        wants = replace(wants, constraints=Constraints(same_rack=True))
    waits = replace(comes(99, wants.workers_min), demand=wants)
    return Snapshot(NOW, tuple(those), (waits,), tuple(running))


def of(found: Snapshot, job: str) -> Running:
    return next(r for r in found.running if r.job.id == job)


def fits(found: Snapshot, asks: list[tuple[str, Placement]], workers: int) -> bool:
    """Whether the one who waits fits once those have come down to that, and who leaves has left."""
    room, kept = Room(found.nodes), dict(asks)
    for r in found.running:
        held = r.placement if r.keeps is None else r.keeps
        room.take(kept.get(r.job.id, held), r.job.demand)
    return room.fit(found.pending[0].demand, workers, NOW, NOW) is not None
