"""A run that is given more workers elsewhere, and gangs that get whole nodes."""

from dataclasses import replace

from policy_kit import HOUR, NOW, decide, expects, job, on, resized, runs, settle, snapshot, started

from orchestrator.scheduling.deltas import Runs
from orchestrator.scheduling.fold import advance
from orchestrator.scheduling.jobs import Running
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.scheduling.teams import Team
from orchestrator.spec.policy import Elastic, Order, Policy

LONG = expects(100 * HOUR)
POLICY = Policy(order=Order(by="fifo"), backfill="skip", elastic=Elastic())


def squeezed(*others: Running, nodes: str = "ab", **more: object) -> Snapshot:
    """Half of node a is for `j-1`, which could have all of it, half for another that stays."""
    return snapshot(runs(job(1, 2, 8, estimate=LONG), a=4), runs(job(2, 4), a=4), *others, nodes=nodes, **more)


def test_a_run_that_cannot_grow_where_it_is_moves_to_where_more_is_idle() -> None:
    (move,) = decide(squeezed(), POLICY).resizes
    assert (move.placement, move.for_job) == (on(b=8), None)
    assert move.why == "4 more idle on b, moving there; 2.00 times as fast"


def test_it_does_not_move_where_it_would_not_be_wider() -> None:
    assert not decide(squeezed(runs(job(3, 4), b=4)), POLICY)


def test_it_grows_in_place_where_that_makes_it_as_wide() -> None:
    found = snapshot(runs(job(1, 2, 8, estimate=LONG), a=4), nodes="ab")
    assert decide(found, POLICY).resizes[0].placement == on(a=8)


def test_while_it_moves_it_holds_both_places_and_then_what_it_left_is_free() -> None:
    found = squeezed()
    state, decisions = advance(State.of(found), [], NOW, POLICY)
    moving = state.running["j-1"]
    assert (moving.placement, moving.keeps, moving.workers) == (on(a=4, b=8), on(b=8), 8)
    assert (state.idle.free, state.staying.free) == (0, 4)
    assert state.snapshot(NOW) == State.of(state.snapshot(NOW)).snapshot(NOW)
    moved = replace(moving, placement=on(b=8), keeps=None)
    state, decisions = advance(state, [Runs(moved)], NOW, POLICY)
    assert (state.idle.free, bool(decisions)) == (4, False)


def test_it_works_no_faster_than_with_all_of_its_workers_while_it_holds_both_places() -> None:
    moving = replace(runs(job(1, 2, 8), NOW - 10, a=4, b=8), keeps=on(b=8))
    assert moving.worked(NOW) == 10.0
    assert moving.slots == 12


def test_a_gang_that_moves_keeps_the_nodes_that_are_its_own() -> None:
    gang, other = runs(job(1, 8, 16, estimate=LONG), b=8, c=4), runs(job(2, 4), c=4)
    (move,) = decide(snapshot(gang, other, nodes="abc"), POLICY).resizes
    assert move.placement == on(a=8, b=8)


def test_a_limit_counts_both_places_of_a_run_that_moves() -> None:
    assert not decide(squeezed(teams=(Team("default", limit=12),)), POLICY)
    assert resized(decide(squeezed(teams=(Team("default", limit=16),)), POLICY)) == {"j-1": 8}


def test_moves_come_to_rest() -> None:
    running = [runs(job(n, 2, 8, estimate=LONG), **{node: 4}) for n, node in ((1, "a"), (2, "a"), (3, "b"), (4, "b"))]
    after, _ = settle(snapshot(*running, nodes="abcd"), POLICY)
    assert sorted(run.workers for run in after.running) == [8, 8, 8, 8]


def test_a_gang_that_no_node_holds_starts_and_grows_by_whole_nodes() -> None:
    small = runs(job(2, 3), c=3)
    assert started(decide(snapshot(job(1, 4, 32), small, nodes="abc"), POLICY)) == {"j-1": 16}
    gang = runs(job(1, 4, 32, estimate=LONG), a=8)
    assert resized(decide(snapshot(gang, small, nodes="abc"), POLICY)) == {"j-1": 16}


def test_a_gang_gets_a_part_of_a_node_where_that_is_all_that_it_wants_or_the_least_that_it_needs() -> None:
    small = runs(job(2, 3), c=3)
    assert started(decide(snapshot(job(1, 4, 20), small, nodes="abc"), POLICY)) == {"j-1": 20}
    other = runs(job(3, 8), b=8)
    assert started(decide(snapshot(job(1, 12, 32), small, other, nodes="abc"), POLICY)) == {"j-1": 12}
