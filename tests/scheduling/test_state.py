"""The state that is kept as things happen decides like one that is made anew, and nothing is held twice."""

import os
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from naive_core import NaiveCore
from state_kit import call_off, check_room
from worlds import HURRIED, NOW, TEAMS, USED, budget, demand, job, node, rich, snapshot

from orchestrator.scheduling.cluster import Demand, Node, Share
from orchestrator.scheduling.deltas import Gone, NodeGone, NodeIs, Pends, Runs, Teams
from orchestrator.scheduling.fold import advance, decide
from orchestrator.scheduling.jobs import Estimate, Job, Running
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.scheduling.teams import Usage
from orchestrator.simulation.engine import Engine, simulate
from orchestrator.simulation.truth import TrueJob
from orchestrator.spec.policy import Elastic, Order, Policy, Preemption

FULL = bool(os.environ.get("ORCHESTRATOR_TEST_FULL"))
POLICIES = [
    *HURRIED,
    Policy(order=Order(by="fifo"), backfill="easy"),
    Policy(order=Order(by="fifo"), backfill="none"),
    Policy(order=Order(by="priority", overdue=300), backfill="skip"),
    Policy(order=Order(by="shortest"), backfill="conservative", depth=5),
    Policy(order=Order(by="fair"), preemption=Preemption(min_run=5)),
    Policy(
        order=Order(by="attained"), elastic=Elastic(between=5), preemption=Preemption(for_whom="earlier", min_run=5)
    ),
]
TRACE_ORDERS = [Order(by="fifo"), Order(by="priority", aging=40), Order(by="shortest"), Order(by="attained")]
SEEDS = st.integers(0, 2**32)


class Cluster(RuleBasedStateMachine):
    """Jobs come and go, nodes come, change and die, time passes; decisions are carried out, or the engine refuses."""

    @initialize(seed=SEEDS, policy=st.sampled_from(POLICIES))
    def begin(self, seed: int, policy: Policy) -> None:
        self.random, self.policy, self.now, self.number = Random(seed), policy, NOW, 1000
        self.state = State.of(rich(self.random))

    @rule(seconds=st.sampled_from([0.5, 5, 40, 200]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_job_comes(self) -> None:
        self.number += 1
        came = replace(job(self.random, self.number, elastic=True), submitted=self.now, waits_since=self.now)
        self.state.apply(Pends(came), self.now)

    @rule(which=st.randoms())
    def a_job_goes(self, which: Random) -> None:
        if jobs := sorted([*self.state.pending, *self.state.running]):
            self.state.apply(Gone(which.choice(jobs)), self.now)

    @rule(which=st.randoms())
    def a_run_comes_back(self, which: Random) -> None:
        if runs := sorted(self.state.running):
            run = self.state.running[which.choice(runs)]
            self.state.apply(Pends(replace(run.job, waits_since=self.now, failures=1, claim=None)), self.now)

    @rule()
    def who_was_asked_lets_go(self) -> None:
        for name in sorted(self.state.leaving):
            run = self.state.running[name]
            if run.stopping:
                self.state.apply(Pends(replace(run.job, waits_since=self.now, preemptions=1)), self.now)
            else:
                assert run.keeps is not None
                self.state.apply(Runs(replace(run, placement=run.keeps, keeps=None, resized=self.now)), self.now)

    @rule()
    def resizes_are_called_off(self) -> None:
        call_off(self.state, self.now)

    @rule(which=st.randoms())
    def a_run_tells_of_a_checkpoint_or_is_pinned(self, which: Random) -> None:
        if runs := sorted(self.state.running):
            run = self.state.running[which.choice(runs)]
            saved, pinned = run.worked(self.now), which.random() < 0.3
            self.state.apply(Runs(replace(run, saved=saved, pinned=pinned)), self.now)

    @rule(which=st.randoms())
    def the_teams_change(self, which: Random) -> None:
        teams = tuple(which.sample(TEAMS, which.randrange(len(TEAMS) + 1)))
        usage = tuple(replace(used, slot_seconds=used.slot_seconds * which.choice([0, 1, 3.3])) for used in USED)
        self.state.apply(Teams(teams, usage), self.now)

    @rule()
    def a_node_comes_or_changes(self) -> None:
        name = f"n{self.random.randrange(6)}"
        if not any(share.node == name for run in self.state.running.values() for share in run.placement):
            self.state.apply(NodeIs(node(self.random, name)), self.now)

    @precondition(lambda self: len(self.state.nodes) > 1)
    @rule(which=st.randoms())
    def a_node_dies(self, which: Random) -> None:
        gone = which.choice(sorted(self.state.nodes))
        for run in list(self.state.running.values()):
            if any(share.node == gone for share in run.placement):
                self.state.apply(Pends(replace(run.job, waits_since=self.now)), self.now)
        self.state.apply(NodeGone(gone), self.now)

    @rule()
    def decisions_are_carried_out(self) -> None:
        before = set(self.state.pending), set(self.state.running)
        decisions = self.state.decide(self.policy, self.now)
        assert {d.job for d in (*decisions.starts, *decisions.claims)} <= before[0]
        assert {d.job for d in (*decisions.preempts, *decisions.resizes)} <= before[1]
        for start in decisions.starts:
            wants = self.state.pending[start.job].demand
            assert wants.workers_min <= start.workers <= wants.workers_max
        self.state.carry_out(decisions, self.now)

    @rule()
    def the_engine_refuses(self) -> None:
        self.state.decide(self.policy, self.now)

    @invariant()
    def it_decides_as_from_nothing(self) -> None:
        whole = self.state.snapshot(self.now)
        shuffled = replace(
            whole,
            **{name: tuple(self.random.sample(items := getattr(whole, name), len(items)))
               for name in ("nodes", "pending", "running", "teams", "usage")},
        )  # fmt: skip
        expected = decide(shuffled, self.policy)
        assert self.state.decide(self.policy, self.now) == expected
        after, decisions = advance(self.state, (), self.now, self.policy)
        assert decisions == expected
        assert self.state.snapshot(self.now) == whole
        assert State.of(whole).snapshot(self.now) == whole
        check_room(after, self.now)

    @invariant()
    def nothing_is_held_twice(self) -> None:
        check_room(self.state, self.now)


Cluster.TestCase.settings = settings(
    max_examples=300 if FULL else 40, stateful_step_count=50 if FULL else 20, deadline=None
)
TestCluster = Cluster.TestCase


def _load(random: Random, jobs: int) -> list[TrueJob]:
    now, load = 0.0, []
    for number in range(jobs):
        now += random.choice([0.0, 1.0, 7.0, 30.0])
        wants = replace(demand(random, elastic=False), workers_max=1)
        wants = replace(wants, workers_max=wants.workers_min)
        true = float(random.choice([3, 20, 45, 100]))
        limit = random.choice([None, true, 2 * true, 5 * true])
        came = Job(f"j-{number}", number, now, wants, limit=limit, priority=random.randrange(2), waits_since=now)
        if random.random() < 0.7:  # never too short: the naive scheduler is not woken where one has passed
            came = replace(came, estimate=Estimate(true * random.choice([1, 1.5, 3]), random.choice([0.0, 0.5])))
        load.append(TrueJob(came, true))
    return load


@pytest.mark.parametrize("backfill", ["none", "skip", "easy", "conservative"])
@given(seed=SEEDS, order=st.sampled_from(TRACE_ORDERS))
@budget(8)
def test_a_whole_trace_goes_as_under_a_naive_scheduler(backfill: str, seed: int, order: Order) -> None:
    random = Random(seed)
    nodes = (*tuple(replace(node(random, f"n{i}"), windows=()) for i in range(3)), Node("z", 8, "a", rack="r1"))
    found, load = replace(snapshot(random), nodes=nodes, pending=(), running=(), now=0.0), _load(random, 40)
    policy = Policy(order=order, backfill=backfill)
    ours = simulate(found, load, policy).outcomes
    naive = {outcome.job: outcome for outcome in _naively(found, load, policy)}
    assert {outcome.job: outcome for outcome in ours} == naive


def _naively(found, load, policy):
    return Engine(found, load, policy, core=NaiveCore(found)).run().outcomes


def test_a_fair_order_that_turns_while_nothing_happens_is_noticed() -> None:
    holds = Running(Job("j-1", 1, 0.0, Demand(6, 6), team="x"), (Share("a", 6),), NOW, NOW, NOW)
    waits = (Job("j-2", 2, NOW, Demand(8, 8), team="x"), Job("j-3", 3, NOW, Demand(2, 2), team="y"))
    state = State.of(Snapshot(NOW, (Node("a", 8),), waits, (holds,), usage=(Usage("y", 1_000.0, NOW),)))
    policy = Policy(order=Order(by="fair"), backfill="none")
    assert [bool(state.decide(policy, NOW + after).starts) for after in (0, 60, 600)] == [False, False, True]
    assert decide(state.snapshot(NOW + 600), policy) == state.decide(policy, NOW + 600)


def test_a_delta_may_be_told_twice() -> None:
    state, other = State.of(snapshot(Random(1))), State.of(snapshot(Random(1)))
    for delta in (Pends(Job("j-x", 900, NOW, Demand(1, 1))), Gone("j-1"), NodeIs(Node("n9", 4))):
        state.apply(delta, NOW)
        other.apply(delta, NOW)
        other.apply(delta, NOW)
    assert state.snapshot(NOW) == other.snapshot(NOW)
    assert state.decide(POLICIES[0], NOW) == other.decide(POLICIES[0], NOW)
