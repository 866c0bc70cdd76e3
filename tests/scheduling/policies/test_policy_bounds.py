"""No thrash, no starvation, shares that converge: over whole simulations of random loads."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_kit import HOUR, Node, expects, job

from orchestrator.scheduling.decisions import Decisions
from orchestrator.scheduling.jobs import Estimate
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.scheduling.teams import Team
from orchestrator.simulation.engine import Engine
from orchestrator.simulation.outcomes import Result
from orchestrator.simulation.truth import Charges, TrueJob
from orchestrator.spec.policy import Order, Policy
from orchestrator.spec.presets import PRESETS, preset

NODES = (Node("a", 4), Node("b", 4))
SLOTS = 8


class Watched(State):
    """Remembers every decision."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[float, Decisions]] = []

    def decide(self, policy: Policy, now: float) -> Decisions:
        decisions = super().decide(policy, now)
        self.made.append((now, decisions))
        return decisions


def simulated(
    load: list[TrueJob], policy: Policy, teams: tuple[Team, ...] = (), nodes: tuple[Node, ...] = NODES
) -> tuple[Result, Watched]:
    found = Snapshot(0.0, nodes, teams=teams)
    state = Watched.of(found)
    assert isinstance(state, Watched)
    return Engine(found, load, policy, charges=Charges(5.0, 5.0), core=state).run(), state


def true(number: int, at: float, workers: int, seconds: float, narrow: int = 1, factor: float = 1.0, **more) -> TrueJob:
    """A job that takes so long, of which we expect `factor` times as much; its limit is twice the truth."""
    estimate = Estimate(max(1.0, seconds * factor), 0.5)
    base = job(number, max(1, workers // narrow), workers, submitted=at, waits_since=at, estimate=estimate, **more)
    return TrueJob(base, seconds)


LOADS = st.lists(
    st.tuples(
        st.integers(0, 4000),
        st.sampled_from([1, 1, 2, 3, 4, 8]),
        st.integers(10, 4000),
        st.sampled_from([1, 2]),
        st.sampled_from([0.3, 1.0, 3.0]),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=14,
).map(lambda drawn: [true(n, float(t), w, float(s), k, f, priority=p) for n, (t, w, s, k, f, p) in enumerate(drawn)])


@settings(max_examples=15, deadline=None)
@given(LOADS, st.sampled_from(sorted(PRESETS)))
def test_every_job_ends_and_nobody_is_preempted_more_often_than_allowed(load: list[TrueJob], name: str) -> None:
    policy = preset(name)
    result, state = simulated(load, policy)
    assert len(result.outcomes) == len(load)
    most = 0 if policy.preemption is None else policy.preemption.immune_after
    assert all(outcome.preemptions <= most for outcome in result.outcomes)
    at_once: dict[tuple[float, str], int] = {}
    for now, decisions in state.made:
        for preempt in decisions.preempts:
            at_once[now, preempt.job] = at_once.get((now, preempt.job), 0) + 1
    assert all(times == 1 for times in at_once.values())


@settings(max_examples=15, deadline=None)
@given(LOADS)
def test_what_is_freed_is_what_its_claimant_starts_on(load: list[TrueJob]) -> None:
    _, state = simulated(load, preset("default"))
    claims: dict[str, object] = {}
    for _, decisions in state.made:
        for start in decisions.starts:
            if start.job in claims:
                assert claims.pop(start.job) == start.placement
        claims |= {claim.job: claim.placement for claim in decisions.claims}
    assert not claims


OVERDUE = 1800.0


def soon(name: str) -> Policy:
    """A preset under which who has waited for half an hour is overdue."""
    policy = preset(name)
    return policy.model_copy(update={"order": policy.order.model_copy(update={"overdue": OVERDUE})})


BOUNDED = {
    "fifo": (preset("fifo"), 0.0),
    "easy": (preset("easy"), 0.0),
    "conservative": (preset("conservative"), 0.0),
    "priority": (preset("priority"), 0.0),
    "default": (soon("default"), OVERDUE),
    "sjf": (soon("sjf"), OVERDUE),
    "srtf": (soon("srtf"), OVERDUE),
    "las": (soon("las"), OVERDUE),
}
"""By name, and from when on only those who were there before it go before a waiting job."""
CHARGE = 5.0


def stream(until: float, gap: float, seconds: float, first: int = 10, **more: Any) -> list[TrueJob]:
    """Single workers, one each `gap` seconds."""
    return [true(first + n, 2.0 + n * gap, 1, seconds, **more) for n in range(int(until / gap))]


@settings(max_examples=25, deadline=None)
@given(LOADS, st.sampled_from(sorted(BOUNDED)))
def test_nobody_waits_longer_than_the_bound(load: list[TrueJob], name: str) -> None:
    """docs/policies.md: a start comes within patience + (1 + a) (L + c), a jobs being there when the wait begins."""
    limited = [_limited(one) for one in load]
    policy, patience = BOUNDED[name]
    result, _ = simulated(limited, policy)
    longest = max(one.job.limit or 0.0 for one in limited) + CHARGE
    for mine in result.outcomes:
        there = sum(o.submitted <= mine.submitted < o.ended for o in result.outcomes) - 1
        if mine.preemptions == 0:  # of who was stopped only the first wait is told here: its later ones start anew
            assert mine.wait <= patience + (1 + there) * longest


def _limited(one: TrueJob) -> TrueJob:
    """Of one priority, with an enforced limit of twice the truth at its fewest workers."""
    demand = one.job.demand
    limit = 2 * one.duration * demand.workers_max / demand.workers_min
    return replace(one, job=replace(one.job, limit=limit, estimate=expects(limit), priority=0))


def behind_a_stream(
    policy: Policy, fewest: int, teams: tuple[Team, ...] = (), nodes: tuple[Node, ...] = NODES, **more: Any
) -> tuple[float, float]:
    """What a gang of 8, that may have 8 slots, waits before three hours of single workers that need 9; its bound."""
    head = [true(n, 0.0, 4, 300.0 * n, **more) for n in (1, 2)]
    gang = true(3, 1.0, 8, 400.0, narrow=8 // fewest, **more)
    load = [_limited(one) for one in (*head, gang, *stream(3 * HOUR, 280.0 / 9, 280.0, **more))]
    result, _ = simulated(load, policy, teams, nodes)
    waited = next(outcome.wait for outcome in result.outcomes if outcome.job == gang.job.id)
    return waited, (1 + len(head)) * (max(one.job.limit or 0.0 for one in load) + CHARGE)


@pytest.mark.parametrize("fewest", [2, 4, 8])
@pytest.mark.parametrize("name", sorted(BOUNDED))
def test_a_stream_of_small_jobs_keeps_no_gang_waiting_beyond_the_bound(name: str, fewest: int) -> None:
    policy, patience = BOUNDED[name]
    waited, bound = behind_a_stream(policy, fewest)
    assert waited <= patience + bound


@pytest.mark.parametrize("name", ["default", "sjf", "srtf", "las"])
def test_without_a_reservation_the_same_stream_breaks_the_bound(name: str) -> None:
    policy = preset(name)
    policy = policy.model_copy(update={"order": policy.order.model_copy(update={"overdue": None}), "elastic": None})
    waited, bound = behind_a_stream(policy, 8)
    assert waited > OVERDUE + bound


def test_who_passes_without_a_reservation_breaks_the_bound_of_the_order_of_submission_too() -> None:
    waited, bound = behind_a_stream(preset("easy").model_copy(update={"backfill": "skip"}), 8)
    assert waited > bound


@pytest.mark.parametrize("name", ["fifo", "easy", "conservative", "default"])
def test_a_stream_of_its_own_team_at_its_limit_keeps_no_gang_waiting_beyond_the_bound(name: str) -> None:
    policy, patience = BOUNDED[name]
    waited, bound = behind_a_stream(
        policy, 8, (Team("own", limit=8),), (*NODES, Node("c", 4), Node("d", 4)), team="own"
    )
    assert waited <= patience + bound


@pytest.mark.parametrize("weights", [(1.0, 1.0), (3.0, 1.0)])
def test_shares_converge_under_constant_demand(weights: tuple[float, float]) -> None:
    teams = (Team("x", weight=weights[0]), Team("y", weight=weights[1]))
    load = [true(n, 0.0, 1, 600.0, team="xy"[n % 2]) for n in range(1200)]
    policy = Policy(order=Order(by="fair", half_life=4 * HOUR), backfill="easy")
    engine = Engine(Snapshot(0.0, NODES, teams=teams), load, policy)
    result = engine.run(until=40_000.0)
    held = {team: sum(o.held for o in result.outcomes if o.team == team) for team in "xy"}
    wanted = weights[0] / sum(weights)
    assert held["x"] / (held["x"] + held["y"]) == pytest.approx(wanted, abs=0.05)
